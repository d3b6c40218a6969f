"""Says where a stored worklist, key or text differs from what it should be; pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.domain.canonical import canonical_json, sha256_of
from reconciliation.domain.identity import idempotency_key
from reconciliation.domain.worklist import WorkItem, canonical_worklist

SHOWN = 300
"""Characters of a value that a difference shows; a whole text would drown what differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something stored that did not come out the same.

    `of` names the row, such as `task 12`; `at` says where in it, such as `findings[0].severity`.
    """

    what: str
    of: str
    at: str
    stored: str
    recomputed: str


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as far as its key and its place in a worklist go."""

    id: int
    tenant: str
    workspace: str
    repo: str
    branch: str
    task_kind: str
    subject: str
    key: str
    run_id: str | None
    lease_id: str | None
    ordinal: int


def key_differences(task: StoredTask) -> Iterator[Difference]:
    """Yield the key of a task if its own fields do not give it again."""
    key = idempotency_key(
        tenant=task.tenant,
        workspace=task.workspace,
        repo=task.repo,
        branch=task.branch,
        task_kind=task.task_kind,
        subject=task.subject,
    )
    if key != task.key:
        yield Difference("key", f"task {task.id}", "idempotency_key", task.key, key)


def said_differences(of: str, *, said: str, decision: str) -> Iterator[Difference]:
    """Yield the one word that a task shows, if its newest decision says another.

    A decision that cannot be read is not for the task to tell.
    """
    try:
        word = json.loads(decision)["decision"]
    except (ValueError, TypeError, KeyError):
        return
    yield from _if_different("decision", of, "policy_decision", said, str(word))


def worklist_differences(
    name: str, *, text: str, digest: str, planned: int, tasks: Mapping[int, StoredTask]
) -> Iterator[Difference]:
    """Yield where a stored worklist is not canonical, or not what its tasks were made from.

    `tasks` are those that its plan queued, by ordinal. An item may have none: its key was known
    already, from another plan of the same occasion.
    """
    try:
        rows = json.loads(text)
        items = [_item(row, tasks.get(place)) for place, row in enumerate(rows)]
        canonical = canonical_json(rows)
    except (ValueError, TypeError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}"
        yield Difference("worklist", name, "worklist", text[:SHOWN], problem)
        return
    yield from _if_different("worklist", name, "worklist", text, canonical)
    yield from _if_different("digest", name, "worklist_digest", digest, sha256_of(rows))
    yield from _if_different("worklist", name, "planned", str(planned), str(len(rows)))
    yield from _order_differences(name, items, all_known=tasks.keys() == set(range(len(items))))
    for place, task in sorted(tasks.items()):
        stored = f"{task.task_kind} {task.branch} {task.subject}".strip()
        if place >= len(items):
            yield Difference("worklist", name, f"task {task.id}", stored, "no such item")
        elif not _is_of(items[place], task):
            wanted = f"{items[place].task_kind} {items[place].branch} {items[place].subject}"
            yield Difference("worklist", name, f"task {task.id}", stored, wanted.strip())


def text_differences(what: str, of: str, *, stored: str, recomputed: str) -> Iterator[Difference]:
    """Yield every place at which two JSON texts differ."""
    if stored == recomputed:
        return
    try:
        old, new = json.loads(stored), json.loads(recomputed)
    except ValueError as error:
        yield Difference(what, of, "text", stored[:SHOWN], f"no JSON: {error}")
        return
    found = False
    for at, one, other in _places(old, new, ""):
        found = True
        yield Difference(what, of, at, one[:SHOWN], other[:SHOWN])
    if not found:
        yield Difference(what, of, "text", "the same values in other bytes", recomputed[:SHOWN])


def _item(row: Mapping[str, Any], task: StoredTask | None) -> WorkItem:
    about = row["about"]
    # The moment is part of a key but not of a worklist's text: the task still knows it.
    moment = task.subject[len(about) :].strip() if task and task.subject != about else ""
    return WorkItem(**row, moment=moment)


def _is_of(item: WorkItem, task: StoredTask) -> bool:
    return (item.tenant, item.workspace, item.repo, item.branch, item.task_kind) == (
        task.tenant,
        task.workspace,
        task.repo,
        task.branch,
        task.task_kind,
    ) and (item.subject, item.key, item.run_id, item.lease_id) == (
        task.subject,
        task.key,
        task.run_id,
        task.lease_id,
    )


def _order_differences(
    name: str, items: list[WorkItem], *, all_known: bool
) -> Iterator[Difference]:
    if all_known:
        canonical = list(canonical_worklist(items).items)
        given, wanted = [one.order for one in items], [one.order for one in canonical]
    else:
        # Without its task an item's moment is not known, and moments come after these five.
        given = [one.order[:5] for one in items]
        wanted = sorted(given)
    if given == wanted:
        return
    place = next(
        (n for n, (one, other) in enumerate(zip(given, wanted, strict=False)) if one != other),
        len(wanted),
    )
    expected = " ".join(wanted[place]).strip() if place < len(wanted) else "no such item"
    yield Difference("order", name, f"item {place}", " ".join(given[place]).strip(), expected)


def _if_different(
    what: str, of: str, at: str, stored: str, recomputed: str
) -> Iterator[Difference]:
    if stored != recomputed:
        yield Difference(what, of, at, stored[:SHOWN], recomputed[:SHOWN])


def _places(old: Any, new: Any, at: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _places(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _places(one, other, f"{at}[{index}]")
    elif old != new or type(old) is not type(new):
        yield at, _shown(old), _shown(new)


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
