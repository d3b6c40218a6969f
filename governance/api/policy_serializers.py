"""How policies read in the API: versions, plans, problems, and why a value is in force.

Plans, problems and explanations come in as the plain values of `services.policy_reports`.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from governance.domain.policy_schema import LAYERS
from governance.models import PolicyVersion
from reconciler_site.base.bodies import LARGEST_INTEGER, BodySerializer
from reconciler_site.base.queries import QuerySerializer

_VERSION_FIELDS = [
    "id",
    "layer",
    "target",
    "branch_pattern",
    "version",
    "digest",
    "author",
    "approved_by",
    "reason",
    "published_at",
]


class VersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    """One published version, without its document."""

    class Meta:
        model = PolicyVersion
        fields = _VERSION_FIELDS


class VersionDetailSerializer(serializers.ModelSerializer[PolicyVersion]):
    """One published version with its document."""

    class Meta:
        model = PolicyVersion
        fields = [*_VERSION_FIELDS, "document"]


class EffectiveParameters(QuerySerializer):
    """Over what a policy is asked for."""

    branch = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Empty: the repository itself.",
    )


class DraftSerializer(BodySerializer):
    """A document for a layer, as text (problems then name lines) or as a value."""

    layer = serializers.ChoiceField(choices=LAYERS)
    target = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=400,
        help_text="tenant, tenant/workspace or tenant/workspace/repository; empty for the site.",
    )
    branch_pattern = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=200
    )
    text = serializers.CharField(
        required=False, trim_whitespace=False, help_text="YAML or JSON, as it is in the file."
    )
    file = serializers.CharField(
        required=False,
        default="policy",
        max_length=200,
        help_text="How problems call the text; .json and .yaml say what it is.",
    )
    document = serializers.JSONField(required=False, help_text="The document instead of a text.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two documents, or none."""
        if ("text" in attrs) == ("document" in attrs):
            raise serializers.ValidationError({"text": "Give either text or document."})
        return attrs


class PublishSerializer(DraftSerializer):
    """A document to publish, and why."""

    reason = serializers.CharField(help_text="10 to 500 characters; it stays for ever.")
    expected_version = serializers.IntegerField(
        required=False,
        default=None,
        allow_null=True,
        min_value=0,
        max_value=LARGEST_INTEGER,
        help_text="Refuse unless this version is in force (0: none is).",
    )


class ProblemItemSerializer(serializers.Serializer[Mapping[str, Any]]):
    """One thing wrong; line and column count from 1, or are 0 when no text was given."""

    pointer = serializers.CharField()
    file = serializers.CharField()
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])


class ChangeSerializer(serializers.Serializer[Any]):
    """One key that differs from the version in force; null: the layer is silent on it."""

    key = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class OverruledBelowSerializer(serializers.Serializer[Any]):
    """A value of a lower layer that a floor of this document overrules."""

    layer = serializers.CharField()
    key = serializers.CharField()
    wanted = serializers.JSONField()
    in_force = serializers.JSONField(allow_null=True)


class PlanSerializer(serializers.Serializer[Mapping[str, Any]]):
    """What publishing a document would do."""

    digest = serializers.CharField()
    current_version = serializers.IntegerField(help_text="0: none is in force.")
    changes = ChangeSerializer(many=True)
    loosened_floors = serializers.ListField(
        child=serializers.CharField(), help_text="Not empty: a second person must approve."
    )
    overruled_below = OverruledBelowSerializer(many=True)
    warnings = ProblemItemSerializer(many=True)


class PublishedSerializer(serializers.Serializer[Mapping[str, Any]]):
    """The version in force after publishing."""

    is_new = serializers.BooleanField(help_text="False: the same document was in force already.")
    version = VersionSerializer()
    plan = PlanSerializer()


class FloorSerializer(serializers.Serializer[Any]):
    """The loosest value that layers below `by` may have."""

    value = serializers.JSONField()
    by = serializers.CharField()


class OverruledSerializer(serializers.Serializer[Any]):
    """What a layer asked for and did not get."""

    layer = serializers.CharField()
    wanted = serializers.JSONField()


class OriginSerializer(serializers.Serializer[Mapping[str, Any]]):
    """One value in force and why."""

    key = serializers.CharField()
    value = serializers.JSONField(allow_null=True)
    unit = serializers.CharField()
    set_by = serializers.ListField(
        child=serializers.CharField(), help_text="The layers that made it. Empty: built in."
    )
    floor = FloorSerializer(allow_null=True)
    overruled = OverruledSerializer(many=True)
    capped_by = serializers.CharField(help_text="The key whose value this one may not exceed.")


class LayerSerializer(serializers.Serializer[Any]):
    """One layer that speaks here."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    digest = serializers.CharField()


class EffectiveSerializer(serializers.Serializer[Mapping[str, Any]]):
    """The policy in force over a branch, or a repository, and the origin of each value."""

    tenant = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField(help_text="Empty: the repository itself.", allow_blank=True)
    digest = serializers.CharField(help_text="What decisions made under this policy refer to.")
    layers = LayerSerializer(many=True)
    values = OriginSerializer(many=True)
