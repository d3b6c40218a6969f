"""The chain: any change to what was appended shows, at the first place that is not true."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audit.domain.chain import GENESIS, Break, Head, Link, extend, first_break
from audit.domain.entries import Actor, ActorKind, Entry
from audit.domain.verification import SEARCHABLE, StoredEntry, Walk, follow

ENTRY = Entry(
    tenant="acme",
    at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    actor=Actor(ActorKind.USER, "alice"),
    action="alert.acknowledge",
    object_kind="alert",
    object_id="7",
    correlation_id="correlation-1",
    reason="known rebase",
    workspace="main",
    repo="api",
    branch="main",
    data={"expires_at": datetime(2026, 3, 3, 12, tzinfo=UTC)},
)
FIVE = [replace(ENTRY, object_id=str(number)) for number in range(5)]


def links() -> list[Link]:
    return extend(Head("acme"), FIVE)


def rows(chain: list[Link]) -> list[tuple[int, str, str, str]]:
    return [(link.seq, link.prev_hash, link.body, link.hash) for link in chain]


def head_of(chain: list[Link]) -> Head:
    return Head("acme", chain[-1].seq, chain[-1].hash)


def stored(chain: list[Link]) -> list[StoredEntry]:
    return [
        StoredEntry(
            link.seq,
            link.prev_hash,
            link.body,
            link.hash,
            {
                "seq": link.seq,
                "actor_kind": link.entry.actor.kind.value,
                "actor_name": link.entry.actor.name,
                **{
                    name: getattr(link.entry, name)
                    for name in SEARCHABLE
                    if name not in {"seq", "actor_kind", "actor_name"}
                },
            },
        )
        for link in chain
    ]


def test_each_hash_covers_the_one_before_it_and_the_body() -> None:
    first, second = links()[:2]

    assert first.prev_hash == GENESIS
    assert second.prev_hash == first.hash
    assert second.hash == hashlib.sha256(f"{first.hash}\n{second.body}".encode()).hexdigest()


def test_the_body_says_every_field_in_canonical_form() -> None:
    assert extend(Head("acme"), [ENTRY])[0].body == (
        '{"action":"alert.acknowledge","actor_kind":"user","actor_name":"alice",'
        '"at":"2026-03-02T12:00:00.000000Z","branch":"main","correlation_id":"correlation-1",'
        '"data":{"expires_at":"2026-03-03T12:00:00.000000Z"},"format":"v1","object_id":"7",'
        '"object_kind":"alert","outcome":"ok","policy_version":"","reason":"known rebase",'
        '"repo":"api","seq":1,"task_kind":"","tenant":"acme","workspace":"main"}'
    )


def test_appending_in_two_parts_gives_the_same_chain_as_in_one() -> None:
    whole = links()

    first = extend(Head("acme"), FIVE[:2])
    rest = extend(head_of(first), FIVE[2:])

    assert first + rest == whole


def test_chains_never_mix_tenants() -> None:
    with pytest.raises(ValueError, match="'rival'"):
        extend(Head("acme"), [replace(ENTRY, tenant="rival")])


def test_an_untouched_chain_holds() -> None:
    assert first_break("acme", rows(links()), head=head_of(links())) is None


def test_an_empty_chain_holds() -> None:
    assert first_break("acme", [], head=Head("acme")) is None


def test_a_changed_body_shows_at_its_entry() -> None:
    changed = rows(links())
    changed[2] = (3, changed[2][1], changed[2][2].replace("alice", "mallory"), changed[2][3])

    assert first_break("acme", changed, head=head_of(links())) == Break(
        "acme", 3, "content does not match its hash"
    )


def test_a_changed_body_with_a_new_hash_shows_at_the_next_entry() -> None:
    changed = rows(links())
    body = changed[2][2].replace("alice", "mallory")
    new_hash = hashlib.sha256(f"{changed[2][1]}\n{body}".encode()).hexdigest()
    changed[2] = (3, changed[2][1], body, new_hash)

    assert first_break("acme", changed, head=head_of(links())) == Break(
        "acme", 4, "does not continue the entry before it"
    )


def test_an_entry_cut_out_of_the_middle_shows_at_its_place() -> None:
    cut = [row for row in rows(links()) if row[0] != 3]

    assert first_break("acme", cut, head=head_of(links())) == Break(
        "acme", 3, "entry 3 is missing, next is 4"
    )


def test_entries_cut_off_at_the_end_show_against_the_head() -> None:
    assert first_break("acme", rows(links())[:3], head=head_of(links())) == Break(
        "acme", 4, "chain ends at 3, its head says 5"
    )


def test_swapped_entries_show_at_the_first_of_them() -> None:
    swapped = rows(links())
    swapped[1], swapped[2] = swapped[2], swapped[1]

    broken = first_break("acme", swapped, head=head_of(links()))

    assert broken is not None
    assert broken.seq == 2


def test_following_an_untouched_chain_reaches_its_head() -> None:
    assert follow(Head("acme"), stored(links())) == Walk(head_of(links()))


def test_a_walk_may_start_in_the_middle() -> None:
    chain = links()

    assert follow(head_of(chain[:2]), stored(chain)[2:]) == Walk(head_of(chain))


@pytest.mark.parametrize("column", SEARCHABLE)
def test_every_searchable_column_that_contradicts_the_body_shows(column: str) -> None:
    chain = stored(links())
    lie = datetime(2026, 3, 1, tzinfo=UTC) if column == "at" else "something else"
    chain[3] = replace(chain[3], columns={**chain[3].columns, column: lie})

    walk = follow(Head("acme"), chain)

    assert walk == Walk(
        head_of(links()[:3]), Break("acme", 4, f"column {column} contradicts the content")
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [("no json", "content is not JSON"), ('{"format":"v0"}', "content is not of format v1")],
)
def test_a_rewritten_chain_of_another_form_shows(body: str, problem: str) -> None:
    digest = hashlib.sha256(f"{GENESIS}\n{body}".encode()).hexdigest()

    walk = follow(Head("acme"), [StoredEntry(1, GENESIS, body, digest, {})])

    assert walk.broken == Break("acme", 1, problem)
