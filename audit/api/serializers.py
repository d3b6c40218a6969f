"""How audit entries and verification reports read in the API; rows come in as plain dicts."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from audit.domain.canonical import utc_text
from audit.services import Report, Verification
from reconciler_site.base.bodies import LARGEST_INTEGER
from reconciler_site.base.queries import QuerySerializer

_PLAIN = (
    "id",
    "tenant",
    "seq",
    "actor_kind",
    "actor_name",
    "action",
    "object_kind",
    "object_id",
    "outcome",
    "workspace",
    "repo",
    "branch",
    "task_kind",
    "correlation_id",
    "policy_version",
    "prev_hash",
    "hash",
)
COLUMNS = (*_PLAIN, "at", "body")


class EntrySerializer(serializers.Serializer[Mapping[str, Any]]):
    """One entry. `reason` and `data` are read from `body`, the exact text that `hash` covers."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(help_text="Empty: an act on the site itself.")
    seq = serializers.IntegerField(help_text="Place in the tenant's chain, from 1, without gaps.")
    at = serializers.DateTimeField()
    actor_kind = serializers.CharField(help_text="system, user, token or host")
    actor_name = serializers.CharField()
    action = serializers.CharField()
    object_kind = serializers.CharField()
    object_id = serializers.CharField()
    outcome = serializers.CharField()
    reason = serializers.CharField()
    workspace = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField()
    task_kind = serializers.CharField()
    correlation_id = serializers.CharField()
    policy_version = serializers.CharField()
    # Declared fields do not hide the serializer's own `data`: its metaclass takes them away.
    data = serializers.DictField(  # type: ignore[assignment]
        help_text="What else was recorded, by kind of action."
    )
    prev_hash = serializers.CharField(help_text="Hash of the entry before it in the chain.")
    hash = serializers.CharField(help_text="SHA-256 of prev_hash, a line feed, and body.")
    body = serializers.CharField(help_text="Canonical JSON: what the hash covers.")

    def to_representation(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry; by hand, because a field-by-field walk costs ten times as much."""
        body = json.loads(row["body"])
        return {
            **{name: row[name] for name in _PLAIN},
            "at": utc_text(row["at"]),
            "reason": body.get("reason", ""),
            "data": body.get("data", {}),
            "body": row["body"],
        }


class BreakSerializer(serializers.Serializer[Any]):
    """The first place where a chain does not hold."""

    seq = serializers.IntegerField()
    problem = serializers.CharField()


class ChainReportSerializer(serializers.Serializer[Verification]):
    """What was checked of one chain, and whether it held."""

    tenant = serializers.CharField()
    intact = serializers.BooleanField(help_text="Nothing wrong in what was checked.")
    complete = serializers.BooleanField(help_text="Checked up to the head, or to a break.")
    after = serializers.IntegerField(help_text="Checked from the entry behind this one.")
    reached = serializers.IntegerField(help_text="Last good entry; go on with after=<this>.")
    head_seq = serializers.IntegerField()
    head_hash = serializers.CharField(help_text="Keep it elsewhere: a chain cannot prove its end.")
    broken = BreakSerializer(allow_null=True)

    def to_representation(self, chain: Verification) -> dict[str, Any]:
        """Return the report on one chain."""
        broken = chain.broken
        return {
            "tenant": chain.tenant,
            "intact": broken is None,
            "complete": chain.is_complete,
            "after": chain.after,
            "reached": chain.reached.seq,
            "head_seq": chain.head.seq,
            "head_hash": chain.head.hash,
            "broken": {"seq": broken.seq, "problem": broken.problem} if broken else None,
        }


class ReportSerializer(serializers.Serializer[Report]):
    """A bounded look at the caller's chains."""

    status = serializers.ChoiceField(choices=["intact", "incomplete", "broken"])
    as_of = serializers.DateTimeField()
    chains = ChainReportSerializer(many=True)
    not_reached = serializers.ListField(
        child=serializers.CharField(), help_text="Tenants left for a call of their own."
    )
    missing_triggers = serializers.ListField(
        child=serializers.CharField(), help_text="Guards of the database that are gone."
    )


class VerifyParameters(QuerySerializer):
    """Query parameters of `GET /api/v1/audit/verify`."""

    tenant = serializers.CharField(required=False, help_text="One chain; else all of yours.")
    after = serializers.IntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=LARGEST_INTEGER,
        help_text="Go on behind this entry; needs tenant.",
    )
    at_most = serializers.IntegerField(
        required=False, default=10_000, min_value=1, max_value=50_000, help_text="Entries to check."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse `after` without a chain that it could belong to."""
        if attrs["after"] and "tenant" not in attrs:
            raise serializers.ValidationError({"after": "Name the tenant whose chain you mean."})
        return attrs
