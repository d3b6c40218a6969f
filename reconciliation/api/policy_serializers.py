"""How the rollout of a policy reads in the API."""

from typing import Any

from rest_framework import serializers

from governance.api.policy_serializers import PublishedSerializer


class RolloutNumbers(serializers.Serializer[Any]):
    """What publishing led to at once."""

    reclassified = serializers.IntegerField(help_text="Branches that have another class now.")
    planned = serializers.IntegerField(help_text="Checks that were queued, the worst first.")
    left = serializers.IntegerField(
        help_text="Checks beyond the cap; reconcile their repositories to have them made too."
    )


class RolloutSerializer(PublishedSerializer):
    """The version in force after publishing, and what that led to."""

    rollout = RolloutNumbers()
