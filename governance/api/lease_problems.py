"""How refusals about leases are answered: a status, a stable code, and when to come back.

409 says "not now": wait as `Retry-After` says, or change the request. 410 says "never again": this
lease is over, acquire a new one. 403 says "not you".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework import exceptions

from audit.domain.canonical import utc_text
from governance.domain.lease_scopes import InvalidLease
from governance.domain.refs import InvalidRef
from governance.services.leases import (
    LeaseAlreadyHeld,
    LeaseEnded,
    LeaseIdTaken,
    LeaseNotFound,
    LockDelayed,
    MayNotBreak,
    NotTheHolder,
    ReasonTooShort,
)


class LeaseProblem(exceptions.APIException):
    """A refusal with a code of its own.

    `wait` (seconds) becomes the `Retry-After` header; `members` say the same facts to programs.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        wait: int | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, code=code)
        self.status_code = status
        self.default_code = code
        # A zero would be taken for "no header": whoever may come at once may come in a second.
        self.wait = None if wait is None else max(1, wait)
        self.members = members or {}


@contextmanager
def lease_refusals_as_problems() -> Iterator[None]:
    """Turn what the services refuse into what the API answers."""
    try:
        yield
    except (InvalidLease, InvalidRef, ReasonTooShort) as error:
        raise _invalid(error) from error
    except LeaseAlreadyHeld as held:
        raise _already_held(held) from held
    except LockDelayed as delayed:
        raise _lock_delayed(delayed) from delayed
    except LeaseIdTaken as error:
        raise LeaseProblem(409, "lease_id_taken", str(error)) from error
    except LeaseEnded as ended:
        raise _ended(ended) from ended
    except LeaseNotFound as error:
        raise exceptions.NotFound(str(error)) from error
    except NotTheHolder as error:
        raise LeaseProblem(403, "not_the_holder", str(error)) from error
    except MayNotBreak as error:
        raise exceptions.PermissionDenied(str(error)) from error


def _invalid(error: InvalidLease | InvalidRef | ReasonTooShort) -> exceptions.ValidationError:
    if isinstance(error, InvalidLease):
        return exceptions.ValidationError({error.field: str(error)})
    field = "branch" if isinstance(error, InvalidRef) else "reason"
    return exceptions.ValidationError({field: str(error)})


def _already_held(held: LeaseAlreadyHeld) -> LeaseProblem:
    owner = held.owner
    return LeaseProblem(
        409,
        "lease_already_held",
        str(held),
        wait=held.retry_after_seconds,
        members={
            "lease_id": held.lease_id,
            "held_until": utc_text(held.held_until),
            "owner": {
                "user_id": owner.user_id,
                "device_id": owner.device_id,
                "agent_id": owner.agent_id,
            },
        },
    )


def _lock_delayed(delayed: LockDelayed) -> LeaseProblem:
    return LeaseProblem(
        409,
        "lock_delayed",
        str(delayed),
        wait=delayed.retry_after_seconds,
        members={"lease_id": delayed.lease_id},
    )


def _ended(ended: LeaseEnded) -> LeaseProblem:
    return LeaseProblem(
        410, "lease_ended", str(ended), members={"lease_id": ended.lease_id, "state": ended.state}
    )
