"""How the rollout and the simulation of a policy read in the API."""

from typing import Any

from rest_framework import serializers

from governance.api.policy_serializers import (
    DraftSerializer,
    PlanSerializer,
    PublishedSerializer,
)
from reconciliation.domain.consequences import CONSEQUENCES
from reconciliation.domain.simulation_tally import CHANGES
from reconciliation.services.simulation_judging import Against

LONGEST_DAYS = 366
MOST_EVALUATIONS = 50_000
"""What one request may look at: some seconds of work. The command has no such bound."""


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


class SimulateSerializer(DraftSerializer):
    """A draft, and which decisions to make again under it."""

    days = serializers.IntegerField(required=False, default=30, min_value=1, max_value=LONGEST_DAYS)
    against = serializers.ChoiceField(
        choices=[one.value for one in Against],
        required=False,
        default=Against.STORED.value,
        help_text="The decisions as stored, or what the policies in force now decide.",
    )
    most_evaluations = serializers.IntegerField(
        required=False,
        default=MOST_EVALUATIONS,
        min_value=1,
        max_value=MOST_EVALUATIONS,
        help_text="The newest are looked at first; see is_complete.",
    )


class CountsSerializer(serializers.Serializer[Any]):
    """Findings and alerts, each counted once however often it was stated."""

    finding_gained = serializers.IntegerField()
    finding_lost = serializers.IntegerField()
    alert_gained = serializers.IntegerField()
    alert_lost = serializers.IntegerField()
    severity_changed = serializers.IntegerField()


class RepositoryCounts(CountsSerializer):
    """What changes in one repository."""

    tenant = serializers.CharField()
    repo = serializers.CharField()


class ConsequenceCounts(CountsSerializer):
    """What publishing now leads to."""

    alert_quieted = serializers.IntegerField(
        help_text="Open alerts that stay open, but escalate no more."
    )


class RepositoryConsequences(ConsequenceCounts):
    """What publishing now leads to in one repository."""

    tenant = serializers.CharField()
    repo = serializers.CharField()


class ConsequenceSerializer(serializers.Serializer[Any]):
    """What becomes of one finding. A severity is empty where the finding is not stated."""

    changes = serializers.ListField(child=serializers.ChoiceField(choices=CONSEQUENCES))
    tenant = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField(allow_blank=True)
    check = serializers.CharField()
    stable_class = serializers.CharField()
    severity_before = serializers.CharField(allow_blank=True)
    severity_after = serializers.CharField(allow_blank=True)
    summary = serializers.CharField()


class ConsequencesSerializer(serializers.Serializer[Any]):
    """What publishing now would make of the findings and alerts that hold."""

    total = ConsequenceCounts()
    repositories = RepositoryConsequences(many=True)
    repositories_left_out = serializers.IntegerField()
    consequences = ConsequenceSerializer(many=True)
    consequences_left_out = serializers.IntegerField()


class GroupCounts(CountsSerializer):
    """What changes for one kind of finding."""

    check = serializers.CharField()
    stable_class = serializers.CharField()
    severity = serializers.CharField()


class DecisionCounts(serializers.Serializer[Any]):
    """How often a check decides otherwise in this way."""

    check = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()
    evaluations = serializers.IntegerField()


class RuleWeight(serializers.Serializer[Any]):
    """A rule that was hit."""

    rule = serializers.CharField()
    weight = serializers.IntegerField()


class SimulationExample(serializers.Serializer[Any]):
    """One difference in full. A severity is empty where the finding is not stated."""

    change = serializers.ChoiceField(choices=CHANGES)
    tenant = serializers.CharField()
    workspace = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField(allow_blank=True)
    check = serializers.CharField()
    stable_class = serializers.CharField()
    evaluated_at = serializers.CharField()
    evaluation = serializers.IntegerField()
    task = serializers.IntegerField()
    decision_before = serializers.CharField()
    decision_after = serializers.CharField()
    severity_before = serializers.CharField(allow_blank=True)
    severity_after = serializers.CharField(allow_blank=True)
    alerting_before = serializers.BooleanField()
    alerting_after = serializers.BooleanField()
    rules_gained = RuleWeight(many=True)
    rules_lost = RuleWeight(many=True)
    summary = serializers.CharField()


class SimulationGaps(serializers.Serializer[Any]):
    """Evaluations of which something is not known."""

    unreadable = serializers.IntegerField(help_text="Stored by code too old to be read.")
    without_paths = serializers.IntegerField(
        help_text="The draft asks for changed paths that were not read at the time."
    )
    without_merges = serializers.IntegerField(
        help_text="Idle under the draft, but nobody had looked whether it was merged."
    )


class SimulationSerializer(serializers.Serializer[Any]):
    """What publishing a draft would have changed."""

    against = serializers.ChoiceField(choices=[one.value for one in Against])
    since = serializers.CharField()
    until = serializers.CharField()
    oldest_at = serializers.CharField(allow_null=True)
    is_complete = serializers.BooleanField(
        help_text="False: a bound was reached; nothing before oldest_at was looked at."
    )
    evaluations = serializers.IntegerField()
    differing = serializers.IntegerField()
    total = CountsSerializer()
    repositories = RepositoryCounts(many=True)
    repositories_left_out = serializers.IntegerField()
    if_published = ConsequencesSerializer()
    groups = GroupCounts(many=True)
    decisions = DecisionCounts(many=True)
    examples = SimulationExample(many=True)
    gaps = SimulationGaps()
    plan = PlanSerializer()
