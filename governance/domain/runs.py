"""What a run record may say when it starts and when it ends; pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from governance.domain.refs import InvalidRef, branch_name, is_null_sha, sha

SUCCEEDED = "succeeded"
FAILED = "failed"
OUTCOMES = (SUCCEEDED, FAILED)

MAX_GATES = 200
MAX_GATE_NAME = 200
MAX_GATE_RESULT = 200
MAX_HASH = 128
MAX_ACTOR = 200
MAX_CONFLICT_CLASSES = 100

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")


class InvalidRun(ValueError):
    """A run record says something that cannot be; `field` names what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True, slots=True)
class RunStart:
    """What is known when a run starts. The base may be the null id: the run makes the branch."""

    run_id: str
    branch: str
    base_sha: str
    actor: str
    lease_id: str = ""
    context_hash: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is known when a run ends. `gate_results` maps gate names to results, such as passed."""

    status: str
    head_sha: str = ""
    patch_hash: str = ""
    gate_results: tuple[tuple[str, str], ...] = ()
    conflict_classes: tuple[str, ...] = ()


def run_start(
    *,
    run_id: str,
    branch: str,
    base_sha: str,
    actor: str,
    lease_id: str = "",
    context_hash: str = "",
) -> RunStart:
    """Return the canonical form of a start.

    Raises:
        InvalidRun: a malformed id, branch, sha or text.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidRun("run_id", "a run id has 1-100 letters, digits or ._:-")
    if not actor:
        raise InvalidRun("actor", "a run has an actor: who, or which agent, makes the change")
    return RunStart(
        run_id=run_id,
        branch=_ref("branch", branch),
        base_sha=_ref("base_sha", base_sha),
        actor=_text("actor", actor, MAX_ACTOR),
        lease_id=_text("lease_id", lease_id, 100),
        context_hash=_text("context_hash", context_hash, MAX_HASH),
    )


def run_end(
    *,
    status: str,
    head_sha: str = "",
    patch_hash: str = "",
    gate_results: Mapping[str, str] | None = None,
    conflict_classes: Sequence[str] = (),
) -> RunEnd:
    """Return the canonical form of an end: gates by name, conflict classes sorted, each once.

    Raises:
        InvalidRun: an unknown status, a success without a head, a malformed sha or text.
    """
    if status not in OUTCOMES:
        raise InvalidRun("status", f"{status!r} is no outcome: use {' or '.join(OUTCOMES)}")
    if status == SUCCEEDED and is_null_sha(head_sha):
        raise InvalidRun("head_sha", "a run that succeeded has a head")
    gates = gate_results or {}
    if len(gates) > MAX_GATES or len(conflict_classes) > MAX_CONFLICT_CLASSES:
        raise InvalidRun("gate_results", f"at most {MAX_GATES} gates and 100 conflict classes")
    return RunEnd(
        status=status,
        head_sha="" if is_null_sha(head_sha) else _ref("head_sha", head_sha),
        patch_hash=_text("patch_hash", patch_hash, MAX_HASH),
        gate_results=tuple(
            (
                _text("gate_results", gate, MAX_GATE_NAME),
                _text("gate_results", gates[gate], MAX_GATE_RESULT),
            )
            for gate in sorted(gates)
        ),
        conflict_classes=tuple(
            sorted({_text("conflict_classes", one, MAX_GATE_NAME) for one in conflict_classes})
        ),
    )


def _ref(field: str, text: str) -> str:
    try:
        return branch_name(text) if field == "branch" else sha(text)
    except InvalidRef as error:
        raise InvalidRun(field, str(error)) from error


def _text(field: str, text: str, most: int) -> str:
    if len(text) > most or not _TEXT.fullmatch(text):
        raise InvalidRun(field, f"{field} has at most {most} characters, none a control character")
    return text
