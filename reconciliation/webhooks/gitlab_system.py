"""Reads GitLab's system hooks: the life of a project, and pushes of many refs at once."""

from collections.abc import Mapping
from typing import Final

from reconciliation.webhooks.dialect import (
    Reader,
    Reading,
    accepted,
    moved_ref,
    moved_refs,
    repository_event,
)
from reconciliation.webhooks.events import RepositoryAction, RepositoryChange, RepositoryRef
from reconciliation.webhooks.fields import JsonObject


def project_ref(project: JsonObject) -> RepositoryRef:
    """Return a project object as a reference; its path may be of any depth."""
    return RepositoryRef(
        host_id=project.optional_identifier("id"),
        full_name=project.optional_full_name("path_with_namespace"),
        clone_url=project.optional_name("git_http_url"),
        default_branch=project.optional_name("default_branch"),
    )


def read_repository_update(body: JsonObject) -> Reading:
    """Read every ref of a push. Sent also where project hooks stay silent (more than 3 refs)."""
    named = project_ref(body.child("project"))
    repository = RepositoryRef(
        host_id=body.identifier("project_id"),
        full_name=named.full_name,
        clone_url=named.clone_url,
        default_branch=named.default_branch,
    )
    return moved_refs(
        *(
            moved_ref(
                change.ref("ref"),
                repository=repository,
                before=change.object_id("before"),
                after=change.object_id("after"),
                forced=None,
                actor=body.person("user_name"),
                occurred_at=None,
            )
            for change in body.children("changes")
        )
    )


def _read_project_change(body: JsonObject, action: RepositoryAction) -> Reading:
    full_name = body.full_name("path_with_namespace")
    change = RepositoryChange(
        action=action,
        old_full_name=body.optional_full_name("old_path_with_namespace"),
        new_full_name=None if action == "deleted" else full_name,
    )
    return accepted(
        repository_event(
            change,
            repository=RepositoryRef(host_id=body.identifier("project_id"), full_name=full_name),
            actor=None,
            occurred_at=body.moment("updated_at"),
        )
    )


def read_project_rename(body: JsonObject) -> Reading:
    """Read a new path for the same project id."""
    return _read_project_change(body, "renamed")


def read_project_transfer(body: JsonObject) -> Reading:
    """Read a new namespace for the same project id."""
    return _read_project_change(body, "transferred")


def read_project_update(body: JsonObject) -> Reading:
    """Read a change of settings; GitLab does not say which, so all of them are to be re-read."""
    return _read_project_change(body, "edited")


def read_project_destroy(body: JsonObject) -> Reading:
    """Read the end of a project."""
    return _read_project_change(body, "deleted")


SYSTEM_EVENTS: Final[Mapping[str, Reader]] = {
    "repository_update": read_repository_update,
    "project_rename": read_project_rename,
    "project_transfer": read_project_transfer,
    "project_update": read_project_update,
    "project_destroy": read_project_destroy,
}

_PEOPLE: Final = "people and rights; governance reads them from policy, not from hosts"
_GROUPS: Final = "a group is no repository; its projects announce their own moves"

IGNORED_SYSTEM_EVENTS: Final[Mapping[str, str]] = {
    "gitlab_subscription_member_approval": _PEOPLE,
    "gitlab_subscription_member_approvals": _PEOPLE,
    "group_create": _GROUPS,
    "group_destroy": _GROUPS,
    "group_rename": _GROUPS,
    "key_create": _PEOPLE,
    "key_destroy": _PEOPLE,
    "project_create": "a new repository, not governed yet",
    "subgroup_create": _GROUPS,
    "subgroup_destroy": _GROUPS,
    "user_access_request_revoked_for_group": _PEOPLE,
    "user_access_request_revoked_for_project": _PEOPLE,
    "user_access_request_to_group": _PEOPLE,
    "user_access_request_to_project": _PEOPLE,
    "user_add_to_group": _PEOPLE,
    "user_add_to_team": _PEOPLE,
    "user_create": _PEOPLE,
    "user_destroy": _PEOPLE,
    "user_failed_login": _PEOPLE,
    "user_remove_from_group": _PEOPLE,
    "user_remove_from_team": _PEOPLE,
    "user_rename": _PEOPLE,
    "user_update_for_group": _PEOPLE,
    "user_update_for_team": _PEOPLE,
}
