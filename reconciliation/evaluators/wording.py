"""Says decisions in words, with the exact command a person could run; decides nothing."""

from dataclasses import dataclass, replace

from governance.domain.push_commands import git_command
from reconciliation.domain.facts import HeadFacts, StaleFacts
from reconciliation.evaluators.coverage import Coverage
from reconciliation.evaluators.coverage_wording import lacking_wording


@dataclass(frozen=True, slots=True)
class Wording:
    """What a finding says: what is, what to do, and what to run."""

    summary: str
    recommendation: str
    command: str = ""


def short(sha: str | None) -> str:
    """Return the first 10 digits of an object id, or `nothing`."""
    return sha[:10] if sha else "nothing"


def head_drift_wording(
    facts: HeadFacts,
    drift_class: str,
    *,
    coverage: Coverage,
    is_planned: bool = False,
    is_clean_up: bool = False,
) -> Wording:
    """Return the wording of a drift class; recorded steps may lead there all the same."""
    if coverage.is_complete:
        return _covered_wording(facts)
    if is_clean_up:
        return _clean_up_wording(facts)
    words = _wording_of_class(facts, drift_class)
    if coverage.chain and not is_planned:
        what, to_do = lacking_wording(coverage.lacking, tenant=facts.place.tenant)
        return replace(
            words,
            summary=f"{words.summary} {what}",
            recommendation=f"{to_do} Or: {words.recommendation}",
        )
    if is_planned:
        return Wording(
            f"As planned: {words.summary}",
            "It was planned: look at the new head and accept it.",
            # Not the command that puts the old head back: that would undo what was planned.
            _fetched(
                "log", "--oneline", "--left-right", f"{facts.governed_head}...{facts.observed_head}"
            ),
        )
    return words


def _covered_wording(facts: HeadFacts) -> Wording:
    return Wording(
        f"{facts.place.branch} moved from {short(facts.governed_head)} to"
        f" {short(facts.observed_head)} as run records say, but a lease stood against it.",
        "Ask the holder of the lease, then accept this head or restore the governed one.",
    )


def _clean_up_wording(facts: HeadFacts) -> Wording:
    branch, governed = facts.place.branch, facts.governed_head
    return Wording(
        f"{branch} was deleted after a pull request had merged its governed snapshot"
        f" {short(governed)}.",
        "Nothing is lost: accept the deletion with a reason, or restore the branch.",
        restore_command(branch, governed or ""),
    )


def _wording_of_class(facts: HeadFacts, drift_class: str) -> Wording:
    branch, governed, observed = (
        facts.place.branch,
        short(facts.governed_head),
        short(facts.observed_head),
    )
    ref = f"refs/heads/{branch}"
    restore = git_command(
        "push",
        f"--force-with-lease={ref}:{facts.observed_head or ''}",
        "origin",
        f"{facts.governed_head}:{ref}",
    )
    # Only a clone can bring back what the host may have thrown away.
    in_clone = f" The command needs a clone that has {governed}." if restore else ""
    if drift_class == "fast_forward":
        count = "commits" if facts.ahead is None else f"{facts.ahead} commit{_s(facts.ahead)}"
        return Wording(
            f"{branch} moved {count} ahead of its governed snapshot, {governed} → {observed},"
            " without run records that cover them.",
            "Record the run that made them, or review the commits and accept this head.",
            _fetched("log", "--oneline", f"{facts.governed_head}..{facts.observed_head}"),
        )
    if drift_class == "rewound":
        return Wording(
            f"{branch} was reset backwards from {governed} to {observed}.",
            f"Restore the governed head, or accept the reset with a reason.{in_clone}",
            restore,
        )
    if drift_class == "rewritten":
        return Wording(
            f"The history of {branch} was rewritten: {governed} is no longer part of {observed}.",
            "Compare both histories, then restore the governed head or accept the rewrite."
            + in_clone,
            restore,
        )
    if drift_class == "unrelated":
        return Wording(
            f"{branch} was replaced by a history that shares no commit with {governed}.",
            f"Treat this as hostile until explained; restore the governed head.{in_clone}",
            restore,
        )
    if drift_class == "deleted":
        return Wording(
            f"{branch} is gone from the remote; its governed snapshot is {governed}.",
            "Restore the branch, or accept the deletion with a reason.",
            restore_command(branch, facts.governed_head or ""),
        )
    if drift_class == "recreated":
        return Wording(
            f"{branch} was deleted and came back as {observed}; governance knows {governed}.",
            f"Review where the new head comes from, then accept or restore.{in_clone}",
            restore,
        )
    if drift_class == "created":
        return Wording(
            f"{branch} is new on the remote at {observed} and has no governed snapshot.",
            "Record the run that created it, or accept this head as its first snapshot.",
        )
    return Wording(
        f"{branch} moved from {governed} to {observed}, and how they relate cannot be told"
        + (f": {facts.relation_reason}." if facts.relation_reason else "."),
        "Fetch both heads where they still exist and compare them before accepting anything.",
    )


def retirement_wording(facts: StaleFacts, *, idle_days: int, notice_days: int) -> Wording:
    """Return the wording of a stale branch; `notice_days` are left before it may be retired."""
    branch, head = facts.place.branch, facts.observed_head or ""
    how = {
        "pull_request": "its pull request is merged",
        "ancestry": "all of its commits are in the default branch",
        "equivalence": "the default branch holds the same change",
    }.get(facts.merged_by) or _unmerged_words(facts)
    summary = f"{branch} has been idle for {idle_days} days and {how}."
    if notice_days:
        return Wording(
            summary,
            f"Push to it, open a pull request or put it on the keep-list if it is still needed; in"
            f" {notice_days} day{_s(notice_days)} its retirement will be recommended.",
        )
    return Wording(
        summary,
        (
            "Retire it; nothing is lost."
            if facts.merged_by
            else "Ask its author; retire it only when its commits are not needed."
        )
        + (
            f" Restore it any time with: {restore}"
            if (restore := restore_command(branch, head))
            else " Its name is too long: no command can be printed."
        ),
        git_command(
            "push",
            f"--force-with-lease=refs/heads/{branch}:{head}",
            "origin",
            "--delete",
            f"refs/heads/{branch}",
        ),
    )


def _unmerged_words(facts: StaleFacts) -> str:
    if facts.merge_unknown:
        return f"whether it is merged cannot be told: {facts.merge_unknown}"
    return "no merge of it is known"


def restore_command(branch: str, head: str) -> str:
    """Return how to put a branch back where it was."""
    return git_command("push", "origin", f"{head}:refs/heads/{branch}")


def sync_command(default_branch: str) -> str:
    """Return how to bring the default branch into the branch one is on."""
    return _fetched("rebase", f"origin/{default_branch}")


def _fetched(*arguments: str) -> str:
    """Return a command that works in any clone, however long ago it was brought up to date."""
    command = git_command(*arguments)
    return f"{git_command('fetch', 'origin')} && {command}" if command else ""


def _s(count: int) -> str:
    return "" if count == 1 else "s"
