"""How layers become one policy: order, unions, floors, caps, and the origin of every value."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json, sha256_of
from governance.domain.policy import DEFAULT_DOCUMENT, Mode, policy_from_document
from governance.domain.policy_layers import (
    Merged,
    PolicyLayer,
    floor_of,
    in_order,
    loosened_floors,
    merge,
)
from governance.domain.policy_schema import LAYERS, setting_of
from governance.domain.policy_tightening import is_looser
from reconciliation.domain.risk import RULE_WEIGHTS
from tests.unit.policy.documents import UNHURRIED, documents

TARGETS = {"site": "", "tenant": "acme", "workspace": "acme/main"}


def layer(name: str, document: dict[str, Any], pattern: str = "", version: int = 1) -> PolicyLayer:
    return PolicyLayer(
        layer=name,
        target=TARGETS.get(name, "acme/main/api"),
        branch_pattern=pattern,
        version=version,
        digest=sha256_of(document),
        document=document,
    )


def settle(seconds: int, *, floor: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {"head_drift": {"settle_seconds": seconds}}
    return document | ({"floors": ["head_drift.settle_seconds"]} if floor else {})


def settle_seconds(merged: Merged) -> int:
    return policy_from_document(merged.document).head_drift.settle_seconds


def test_no_layers_at_all_give_the_default_document() -> None:
    assert merge([]).document == DEFAULT_DOCUMENT


def test_the_most_specific_layer_wins_whatever_order_they_come_in() -> None:
    layers = [layer(name, settle(10 + rank)) for rank, name in enumerate(LAYERS[:4])]

    assert settle_seconds(merge(reversed(layers))) == 13


def test_a_layer_that_does_not_speak_of_a_key_leaves_it_alone() -> None:
    merged = merge([layer("site", settle(20)), layer("tenant", {"lease": {"mode": "off"}})])

    assert merged.origins["head_drift.settle_seconds"].layers[0].label == "site v1"
    assert merged.document["lease"]["mode"] == "off"


def test_protected_branches_of_all_layers_are_united_and_all_makers_named() -> None:
    merged = merge(
        [
            layer("repository", {"branches": {"protected": ["release/**"]}}),
            layer("site", {"branches": {"protected": ["main"]}}),
        ]
    )

    origin = merged.origins["branches.protected"]
    assert origin.value == ["main", "release/**"]
    assert [maker.label for maker in origin.layers] == ["site v1", "repository acme/main/api v1"]


def test_a_keep_list_is_replaced_not_united() -> None:
    merged = merge(
        [
            layer("site", {"branches": {"keep": ["a"]}}),
            layer("tenant", {"branches": {"keep": ["b"]}}),
        ]
    )

    assert merged.document["branches"]["keep"] == ["b"]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("**", "release/**"),
        ("release/*", "release/1.*"),
        ("release/1.*", "release/1.0"),
        ("release/long-long-*", "release/x"),
    ],
)
def test_a_more_specific_branch_pattern_wins(less: str, more: str) -> None:
    layers = [layer("branch", settle(1), more), layer("branch", settle(2), less)]

    assert settle_seconds(merge(layers)) == 1
    assert settle_seconds(merge(reversed(layers))) == 1


def test_a_looser_value_below_a_floor_is_overruled_and_named() -> None:
    merged = merge([layer("tenant", settle(60, floor=True)), layer("repository", settle(61))])

    origin = merged.origins["head_drift.settle_seconds"]
    assert origin.value == 60
    assert [(over.layer.layer, over.wanted) for over in origin.overruled] == [("repository", 61)]
    assert origin.floor is not None
    assert origin.floor.by.label == "tenant acme v1"


@pytest.mark.parametrize("seconds", [60, 59])
def test_an_equal_or_tighter_value_below_a_floor_is_taken(seconds: int) -> None:
    merged = merge([layer("tenant", settle(60, floor=True)), layer("repository", settle(seconds))])

    origin = merged.origins["head_drift.settle_seconds"]
    assert (origin.value, origin.overruled) == (seconds, ())


def test_a_layer_without_floors_may_be_loosened_below() -> None:
    assert settle_seconds(merge([layer("site", settle(5)), layer("tenant", settle(300))])) == 300


def test_a_floor_further_down_holds_at_what_it_was_tightened_to() -> None:
    merged = merge(
        [
            layer("site", settle(60, floor=True)),
            layer("tenant", settle(30, floor=True)),
            layer("repository", settle(45)),
        ]
    )

    origin = merged.origins["head_drift.settle_seconds"]
    assert origin.value == 30
    assert origin.floor is not None
    assert origin.floor.by.layer == "tenant"


def test_a_floor_that_repeats_the_one_above_belongs_to_the_one_above() -> None:
    merged = merge([layer("site", settle(60, floor=True)), layer("tenant", settle(60, floor=True))])

    assert merged.floors["head_drift.settle_seconds"].by.layer == "site"


def test_branch_patterns_obey_the_floors_of_broader_patterns() -> None:
    layers = [
        layer("branch", settle(10, floor=True), "release/**"),
        layer("branch", settle(90), "release/1"),
    ]

    assert settle_seconds(merge(layers)) == 10


class TestFloorsUnderRules:
    def test_under_all_rules_nothing_below_may_turn_a_rule_down(self) -> None:
        merged = merge(
            [
                layer("site", {"floors": ["rules.*.mode", "rules.*.weight"]}),
                layer("tenant", {"rules": {"drift.unknown": {"mode": "observe", "weight": 99}}}),
            ]
        )

        assert merged.document["rules"] == {}
        assert merged.origins["rules.drift.unknown.mode"].overruled[0].wanted == "observe"

    def test_under_all_rules_a_rule_may_still_become_as_tight_as_can_be(self) -> None:
        merged = merge(
            [
                layer("site", {"floors": ["rules.*.mode", "rules.*.weight"]}),
                layer("tenant", {"rules": {"drift.unknown": {"mode": "alert", "weight": 100}}}),
            ]
        )

        assert merged.document["rules"] == {"drift.unknown": {"mode": "alert", "weight": 100}}

    def test_a_rule_set_beside_the_floor_keeps_its_value_as_its_floor(self) -> None:
        site = {
            "rules": {"drift.unknown": {"mode": "observe", "weight": 30}},
            "floors": ["rules.*.mode", "rules.*.weight"],
        }
        lower = {"rules": {"drift.unknown": {"mode": "off", "weight": 31}}}

        merged = merge([layer("site", site), layer("tenant", lower)])

        assert merged.document["rules"] == {"drift.unknown": {"mode": "observe", "weight": 31}}

    def test_under_the_mode_of_a_check_its_rules_cannot_be_turned_down_one_by_one(self) -> None:
        site = {"head_drift": {"mode": "alert"}, "floors": ["head_drift.mode"]}
        lower = {"rules": {"drift.unknown": {"mode": "off"}, "stale.notice": {"mode": "off"}}}

        merged = merge([layer("site", site), layer("tenant", lower)])

        assert merged.document["rules"] == {"stale.notice": {"mode": "off"}}
        assert policy_from_document(merged.document).mode_of("drift.unknown", Mode.ALERT) == "alert"

    def test_a_floor_on_a_rule_that_a_floor_above_kept_unset_is_no_floor(self) -> None:
        lower = {
            "rules": {"drift.unknown": {"mode": "observe"}},
            "floors": ["rules.drift.unknown.mode"],
        }
        layers = [
            layer("site", {"floors": ["rules.*.mode"]}),
            layer("tenant", lower),
            layer("repository", {"rules": {"drift.unknown": {"mode": "off"}}}),
        ]

        assert merge(layers).document["rules"] == {}

    def test_every_rule_of_the_evaluators_belongs_to_a_check_or_is_for_review(self) -> None:
        words = {rule.split(".", 1)[0] for rule in RULE_WEIGHTS}

        assert words == {"drift", "stale", "run", "lease", "review"}


def test_a_default_above_its_maximum_is_capped_and_says_so() -> None:
    merged = merge([layer("tenant", {"lease": {"max_ttl_seconds": 45}})])

    lease = policy_from_document(merged.document).lease
    assert (lease.min_ttl_seconds, lease.default_ttl_seconds, lease.max_ttl_seconds) == (45, 45, 45)
    assert merged.origins["lease.default_ttl_seconds"].capped_by == "lease.max_ttl_seconds"


def test_the_merged_document_is_complete_and_its_digest_known_on_every_machine() -> None:
    merged = merge([layer("site", settle(20)), layer("tenant", {"branches": {"keep": ["ü", "a"]}})])

    policy = policy_from_document(merged.document)

    # Pinned: another digest for the same layers would make every stored decision look changed.
    assert policy.digest == "8569afea1c66c4415e2091897b75c3fe7441b3877dfba46f0b23211d53d98eb6"


LOOSENING = [
    (settle(30, floor=True), settle(30, floor=True), ()),
    (settle(30, floor=True), settle(29, floor=True), ()),
    (settle(30, floor=True), settle(31, floor=True), ("head_drift.settle_seconds",)),
    (settle(30, floor=True), settle(30), ("head_drift.settle_seconds",)),
    (settle(30, floor=True), {}, ("head_drift.settle_seconds",)),
    (settle(30), {}, ()),
    ({}, settle(30, floor=True), ()),
    ({"floors": ["rules.*.mode"]}, {}, ("rules.*.mode",)),
    (
        {"head_drift": {"mode": "alert"}, "floors": ["head_drift.mode"]},
        {
            "head_drift": {"mode": "alert"},
            "floors": ["head_drift.mode"],
            "rules": {"drift.unknown": {"mode": "off"}},
        },
        ("rules.drift.unknown.mode",),
    ),
]


@pytest.mark.parametrize(("before", "after", "loosened"), LOOSENING)
def test_which_floors_a_new_version_loosens(
    before: dict[str, Any], after: dict[str, Any], loosened: tuple[str, ...]
) -> None:
    old, new = merge([layer("tenant", before)]), merge([layer("tenant", after, version=2)])

    assert loosened_floors(old.floors, new.floors) == loosened


def test_dropping_a_floor_that_holds_above_anyway_loosens_nothing() -> None:
    site = layer("site", settle(30, floor=True))
    old = merge([site, layer("tenant", settle(30, floor=True))])
    new = merge([site])

    assert loosened_floors(old.floors, new.floors) == ()


any_layers = st.lists(
    st.tuples(st.sampled_from(LAYERS), st.sampled_from(["**", "r/*", "r/1", "r/?"]), documents()),
    max_size=6,
)


@UNHURRIED
@given(any_layers, st.randoms(use_true_random=False))
def test_merging_gives_the_same_bytes_in_whatever_order_layers_come(
    drawn: list[tuple[str, str, dict[str, Any]]], chance: random.Random
) -> None:
    layers = distinct(drawn)
    shuffled = list(layers)
    chance.shuffle(shuffled)

    first, second = merge(layers), merge(shuffled)

    assert canonical_json(first.document) == canonical_json(second.document)
    assert dict(first.origins) == dict(second.origins)


@UNHURRIED
@given(any_layers)
def test_floors_always_hold_and_the_result_is_always_a_policy(
    drawn: list[tuple[str, str, dict[str, Any]]],
) -> None:
    layers = in_order(distinct(drawn))

    policy_from_document(merge(layers).document)
    for upto in range(len(layers)):
        floors = merge(layers[: upto + 1]).floors
        for key, origin in merge(layers).origins.items():
            floor, setting = floor_of(key, floors), setting_of(key)
            if floor is not None and origin.value is not None:
                assert not is_looser(
                    origin.value, floor=floor.value, kind=setting.kind, tighter=setting.tighter
                ), key


@UNHURRIED
@given(any_layers, documents())
def test_whoever_loosens_no_floor_leaves_no_floor_looser_to_the_layers_below(
    drawn: list[tuple[str, str, dict[str, Any]]], document: dict[str, Any]
) -> None:
    layers = in_order(distinct(drawn))
    old = merge(layers).floors
    new = merge([*layers[:-1], layer("branch", document, "zzz")]).floors

    if loosened_floors(old, new):
        return
    for key in old:
        floor, setting = floor_of(key, new), setting_of(key)
        assert floor is not None
        assert not is_looser(
            floor.value, floor=old[key].value, kind=setting.kind, tighter=setting.tighter
        )


def distinct(drawn: list[tuple[str, str, dict[str, Any]]]) -> list[PolicyLayer]:
    found = {}
    for name, pattern, document in drawn:
        place = (name, pattern if name == "branch" else "")
        found[place] = layer(name, document, place[1])
    return list(found.values())
