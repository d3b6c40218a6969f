"""How who pushed to a branch, and what speaks for and against retiring it, read over the API."""

from dataclasses import asdict
from typing import Any

from rest_framework import serializers

from reconciliation.api.rows import shown_time
from reconciliation.selectors.retirement import Retirement


class PushSerializer(serializers.Serializer[Any]):
    """One push since the heads last agreed."""

    pusher = serializers.CharField(help_text="Empty: nobody announced it.")
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True, help_text="null: it deleted the branch.")
    at = serializers.DateTimeField(help_text="When it was announced, or seen unannounced.")


class StackedRequestSerializer(serializers.Serializer[Any]):
    """An open pull request that deleting the branch would close."""

    number = serializers.IntegerField()
    head_branch = serializers.CharField()
    head_sha = serializers.CharField()
    from_fork = serializers.BooleanField()


class EvidenceSerializer(serializers.Serializer[Any]):
    """What whoever retires the branch needs to know, and how they take it back."""

    head_sha = serializers.CharField()
    restore_command = serializers.CharField()
    merged_by = serializers.CharField(
        help_text="pull_request, ancestry, equivalence, or empty: no merge of it is known."
    )
    merged_pull_requests = serializers.ListField(child=serializers.IntegerField())
    would_close = StackedRequestSerializer(many=True)
    merge_unknown = serializers.CharField(
        help_text="Why it cannot be told whether the branch is merged, or empty."
    )


class RetirementSerializer(serializers.Serializer[Any]):
    """What the newest stale branch check decided."""

    decision = serializers.CharField()
    reason = serializers.CharField(help_text="Why the branch is kept; empty otherwise.")
    decided_at = serializers.DateTimeField()
    is_outdated = serializers.BooleanField(help_text="The head has moved since.")
    evidence = EvidenceSerializer(
        allow_null=True, help_text="null: nothing speaks of retiring the branch."
    )


def retirement_values(found: Retirement | None) -> dict[str, Any] | None:
    """Return a retirement as JSON values."""
    return None if found is None else asdict(found) | {"decided_at": shown_time(found.decided_at)}
