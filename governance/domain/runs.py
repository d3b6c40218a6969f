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
MAX_HASH = 128
MAX_ACTOR = 200
MAX_CONFLICT_CLASSES = 100

GATE_RESULTS = ("passed", "failed", "error", "pending", "skipped", "cancelled")
"""What a run may say of a gate; only `passed` passes it. `success` and `failure` are the same as
the first two."""
_SAME_RESULTS = {"success": "passed", "failure": "failed"}
_HASH = re.compile(
    r"[0-9a-f]{40}|[0-9a-f]{64}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}"
)
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]*", re.ASCII)
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
    return RunStart(
        run_id=run_id,
        branch=_ref("branch", branch),
        base_sha=_ref("base_sha", base_sha),
        actor=actor_name(actor),
        lease_id=_text("lease_id", lease_id, 100),
        context_hash=_context(context_hash),
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
        patch_hash=_patch_hash(patch_hash),
        gate_results=tuple(
            (_name("gate_results", gate), _gate_result(gate, gates[gate])) for gate in sorted(gates)
        ),
        conflict_classes=tuple(
            sorted({_name("conflict_classes", one) for one in conflict_classes})
        ),
    )


def actor_name(actor: str) -> str:
    """Return an actor's name as it is compared with pushers and holders of leases.

    Raises:
        InvalidRun: no name, one with blanks around it, or with control characters.
    """
    if not actor or actor != actor.strip():
        raise InvalidRun(
            "actor",
            "a run has an actor: who, or which agent, makes the change; no blanks around it",
        )
    return _text("actor", actor, MAX_ACTOR)


def ends_in_same_format(base_sha: str, end: RunEnd) -> None:
    """Check that a head can be in the repository that the base is in.

    Raises:
        InvalidRun: one is an id of SHA-1, the other of SHA-256.
    """
    if end.head_sha and len(end.head_sha) != len(base_sha):
        raise InvalidRun(
            "head_sha",
            f"the run's base has {len(base_sha)} digits, this head {len(end.head_sha)}: one"
            " repository has ids of one length",
        )


def _ref(field: str, text: str) -> str:
    try:
        return branch_name(text) if field == "branch" else sha(text)
    except InvalidRef as error:
        raise InvalidRun(field, str(error)) from error


def _patch_hash(text: str) -> str:
    lowered = text.lower()
    if text and not _HASH.fullmatch(lowered):
        raise InvalidRun(
            "patch_hash",
            "a patch hash has 40 or 64 hex digits, or says its kind: sha1:, sha256: or sha512:",
        )
    return lowered


def _context(text: str) -> str:
    if text and not _CONTEXT.fullmatch(text):
        raise InvalidRun("context_hash", "a context hash has letters, digits or ._:+/=-")
    return _text("context_hash", text, MAX_HASH)


def _gate_result(gate: str, text: str) -> str:
    result = _SAME_RESULTS.get(text, text)
    if result not in GATE_RESULTS:
        raise InvalidRun(
            "gate_results", f"{gate[:100]!r}: {text[:50]!r} is none of {', '.join(GATE_RESULTS)}"
        )
    return result


def _name(field: str, text: str) -> str:
    if not text.strip():
        raise InvalidRun(field, f"{field} holds an empty name")
    return _text(field, text, MAX_GATE_NAME)


def _text(field: str, text: str, most: int) -> str:
    if len(text) > most or not _TEXT.fullmatch(text):
        raise InvalidRun(field, f"{field} has at most {most} characters, none a control character")
    return text
