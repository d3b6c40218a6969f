"""Reads what GitHub and the hosts that copied its format (Gitea, Forgejo, Gogs) have in common."""

from typing import Final

from reconciliation.webhooks.dialect import (
    ACTION_NOT_RECONCILED,
    Reading,
    accepted,
    life_of,
    moved_ref,
    moved_refs,
    pull_request_event,
    set_aside,
)
from reconciliation.webhooks.events import (
    LONGEST_TITLE,
    EventKind,
    NormalisedEvent,
    PullRequestState,
    PullRequestStep,
    RepositoryRef,
)
from reconciliation.webhooks.fields import JsonObject, lives_elsewhere

STEPS: Final = {
    "opened": PullRequestStep.OPENED,
    "synchronize": PullRequestStep.NEW_COMMITS,
    "synchronized": PullRequestStep.NEW_COMMITS,
    "reopened": PullRequestStep.REOPENED,
    "closed": PullRequestStep.CLOSED,
    "edited": PullRequestStep.EDITED,
    "ready_for_review": PullRequestStep.EDITED,
    "converted_to_draft": PullRequestStep.EDITED,
    "labeled": PullRequestStep.LABELLED,
    "unlabeled": PullRequestStep.LABELLED,
    "label_updated": PullRequestStep.LABELLED,
    "label_cleared": PullRequestStep.LABELLED,
}
"""Actions that change what we store of a pull request; reviews and assignments do not."""


def repository_of(body: JsonObject) -> RepositoryRef:
    """Return the repository that the body names."""
    return repository_ref(body.child("repository"))


def repository_ref(repository: JsonObject) -> RepositoryRef:
    """Return a repository object as a reference."""
    return RepositoryRef(
        host_id=repository.identifier("id"),
        full_name=repository.full_name("full_name"),
        clone_url=repository.optional_name("clone_url"),
        default_branch=repository.optional_name("default_branch"),
    )


def actor_of(body: JsonObject) -> str | None:
    """Return the login of who did it; None for a deleted account or a system event."""
    sender = body.optional_child("sender")
    return sender.person("login") if sender else None


def read_push(body: JsonObject) -> Reading:
    """Read a push. The head is `after`, never the last of `commits`: that list is capped."""
    return moved_refs(
        moved_ref(
            body.ref("ref"),
            repository=repository_of(body),
            before=body.object_id("before"),
            after=body.object_id("after"),
            forced=body.flag("forced"),
            actor=actor_of(body),
            occurred_at=body.child("repository").moment("pushed_at"),
        )
    )


def read_create(body: JsonObject) -> Reading:
    """Read `create`: a short name. Gitea and Gogs add the id, an annotated tag's being its own."""
    return _short_ref(body, kind=EventKind.REF_CREATE, after=body.optional_object_id("sha"))


def read_delete(body: JsonObject) -> Reading:
    """Read `delete`: a short name and no id. The only notice Gitea gives of a deleted branch."""
    return _short_ref(body, kind=EventKind.REF_DELETE, after=None)


def _short_ref(body: JsonObject, *, kind: EventKind, after: str | None) -> Reading:
    ref_type = body.name("ref_type")
    if ref_type not in ("branch", "tag"):
        return set_aside("not_a_branch_or_tag")  # GitHub once said "repository" here.
    name = body.name("ref")
    return accepted(
        NormalisedEvent(
            kind=kind,
            repository=repository_of(body),
            ref_type="branch" if ref_type == "branch" else "tag",
            branch=name if ref_type == "branch" else None,
            tag=name if ref_type == "tag" else None,
            after=after,
            created=kind is EventKind.REF_CREATE,
            deleted=kind is EventKind.REF_DELETE,
            actor=actor_of(body),
            occurred_at=body.child("repository").moment("pushed_at"),
        )
    )


def read_pull_request(body: JsonObject) -> Reading:
    """Read a pull request whose `head` and `base` are objects (all of the family but Gogs)."""
    action = body.name("action")
    if action not in STEPS:
        return set_aside(ACTION_NOT_RECONCILED)
    pull_request = body.child("pull_request")
    head, base = pull_request.child("head"), pull_request.child("base")
    head_repository, base_repository = head.optional_child("repo"), base.child("repo")
    merged = is_merged(pull_request)
    previous_base = _previous_base(body)
    state = PullRequestState(
        number=pull_request.number("number"),
        action=action,
        step=step_of(action, merged=merged, previous_base=previous_base),
        state=life_of(is_open=pull_request.name("state") == "open", merged=merged),
        raw_state=pull_request.name("state"),
        merged=merged,
        draft=pull_request.flag("draft"),
        title=pull_request.optional_text("title", longest=LONGEST_TITLE),
        author=login_under(pull_request, "user"),
        head_branch=_head_branch(head),
        head_sha=head.optional_object_id("sha"),
        head_repository=head_repository.full_name("full_name") if head_repository else None,
        base_branch=base.name("ref"),
        base_sha=base.optional_object_id("sha"),
        base_repository=base_repository.full_name("full_name"),
        previous_base_branch=previous_base,
        merge_sha=pull_request.optional_object_id("merge_commit_sha"),
        merged_at=pull_request.moment("merged_at"),
        from_fork=is_fork(head_repository, base_repository),
        labels=labels_of(pull_request),
        updated_at=pull_request.moment("updated_at"),
    )
    return accepted(
        pull_request_event(
            state,
            repository=repository_of(body),
            before=body.optional_object_id("before"),
            actor=actor_of(body),
        )
    )


def is_merged(pull_request: JsonObject) -> bool:
    """Tell whether it was merged; the action only says "closed"."""
    merged = pull_request.flag("merged")
    return pull_request.has("merged_at") if merged is None else merged


def is_fork(head: JsonObject | None, base: JsonObject) -> bool:
    """Tell whether the head lives elsewhere."""
    return lives_elsewhere(head, base, id_key="id", name="full_name")


def step_of(action: str, *, merged: bool, previous_base: str | None) -> PullRequestStep:
    """Return our word for the host's action."""
    if action == "closed" and merged:
        return PullRequestStep.MERGED
    if action == "edited" and previous_base is not None:
        return PullRequestStep.RETARGETED
    return STEPS[action]


def labels_of(pull_request: JsonObject) -> tuple[str, ...]:
    """Return the names of the labels, sorted."""
    return tuple(sorted({label.name("name") for label in pull_request.children("labels")}))


def login_under(parent: JsonObject, key: str) -> str | None:
    """Return the login of the account under `key`; None for a deleted account."""
    account = parent.optional_child(key)
    return account.person("login") if account else None


def _previous_base(body: JsonObject) -> str | None:
    # GitHub writes changes.base.ref.from, Gitea changes.ref.from.
    changes = body.optional_child("changes")
    changed_base = changes.optional_child("base") if changes else None
    changed_ref = (changed_base or changes).optional_child("ref") if changes else None
    return changed_ref.optional_name("from") if changed_ref else None


def _head_branch(head: JsonObject) -> str:
    # Once the head branch is deleted, Gitea gives refs/pull/4/head as ref and the name as label.
    ref = head.name("ref")
    return head.name("label") if ref.startswith("refs/pull/") else ref
