"""The words of the leases API: what callers send, and what they get."""

from typing import Any

from rest_framework import serializers

from governance.domain.lease_checks import Reason
from governance.domain.lease_scopes import MAX_PATHS
from governance.domain.leases import MIN_BREAK_REASON
from governance.models import Lease, LeaseScope, LeaseState
from reconciler_site.base.bodies import BodySerializer
from reconciler_site.base.queries import QuerySerializer

MAX_CHANGED_PATHS = 20_000


class AddressSerializer(BodySerializer):
    """Which repository is meant."""

    tenant = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        help_text="Needed only by callers who see several tenants.",
    )
    repo = serializers.CharField(help_text="The repository's slug.")


class AddressQuery(QuerySerializer, AddressSerializer):
    """Which repository is meant, in an address."""


class OwnerSerializer(BodySerializer):
    """Who holds a lease."""

    user_id = serializers.CharField(max_length=200)
    device_id = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    agent_id = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class AcquireSerializer(AddressSerializer):
    """A request for a lease."""

    scope = serializers.ChoiceField(
        choices=LeaseScope.choices, default=LeaseScope.BRANCH_LEVEL.value
    )
    branch = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Empty for a repo-wide lease.",
    )
    paths = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False),
        required=False,
        default=list,
        max_length=MAX_PATHS,
        help_text="Prefixes, compared segment by segment; for a path-prefix lease only.",
    )
    owner = OwnerSerializer()
    ttl_seconds = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Left out: the policy's default (900).",
    )
    run_id = serializers.CharField(required=False, default="", allow_blank=True, max_length=100)
    lease_id = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        help_text="Left out: we make one. Send one of your own, with a holder_token of your own,"
        " to be able to repeat the request safely when its answer was lost.",
    )
    holder_token = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Your secret, 32-200 random visible characters. Left out: we make one and show"
        " it once, in this answer.",
    )


class HeartbeatSerializer(AddressSerializer):
    """A sign of life."""

    holder_token = serializers.CharField(trim_whitespace=False)


class ReleaseSerializer(AddressSerializer):
    """A lease given back."""

    holder_token = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="May be left out by an admin only.",
    )


class BreakSerializer(AddressSerializer):
    """A lease ended against its holder's will."""

    reason = serializers.CharField(
        max_length=2000, help_text=f"At least {MIN_BREAK_REASON} characters; the holder reads it."
    )


class CheckSerializer(AddressSerializer):
    """A gate's question."""

    branch = serializers.CharField(trim_whitespace=False)
    fencing_token = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, max_value=2**63 - 1
    )
    holder_token = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Compared when given; a fencing token alone is a number anybody can guess.",
    )
    sha = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="The head that the remote branch has as far as you know; zeros or empty: it does"
        " not exist. Left out: not compared.",
    )
    paths = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False),
        required=False,
        allow_null=True,
        default=None,
        max_length=MAX_CHANGED_PATHS,
        help_text="What the push changes; needed under a path-prefix lease.",
    )


class LeaseSerializer(serializers.Serializer[Lease]):
    """A lease. Its holder's token is never shown again."""

    lease_id = serializers.CharField()
    tenant = serializers.CharField(source="repository.tenant.slug")
    workspace = serializers.CharField(source="repository.workspace.slug")
    repo = serializers.CharField(source="repository.slug")
    scope = serializers.ChoiceField(choices=LeaseScope.choices)
    branch = serializers.CharField()
    paths = serializers.ListField(child=serializers.CharField())
    owner = OwnerSerializer(source="*")
    run_id = serializers.CharField()
    state = serializers.ChoiceField(
        choices=LeaseState.choices,
        help_text="A lease past its expires_at is over, even while nobody has ended it yet.",
    )
    fencing_token = serializers.IntegerField()
    ttl_seconds = serializers.IntegerField()
    acquired_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    max_expires_at = serializers.DateTimeField(help_text="No renewal goes beyond it.")
    last_heartbeat_at = serializers.DateTimeField()
    renewals = serializers.IntegerField()
    ended_at = serializers.DateTimeField(allow_null=True)
    end_reason = serializers.CharField()
    correlation_id = serializers.CharField()


class LeaseAnswerSerializer(LeaseSerializer):
    """A lease with what its holder needs to go on."""

    server_time = serializers.DateTimeField(
        help_text="Our clock, by which expires_at is meant: compare these two, not your own."
    )
    renew_after = serializers.DateTimeField(help_text="Send a heartbeat before this instant.")
    push_command = serializers.CharField(
        help_text="Pushes HEAD without overwriting what nobody has seen; empty when repo-wide."
    )


class GrantSerializer(LeaseAnswerSerializer):
    """A lease that was granted."""

    holder_token = serializers.CharField(
        required=False, help_text="Shown once, and only when we made it. Keep it secret."
    )


class CheckAnswerSerializer(serializers.Serializer[Any]):
    """The answer to a gate."""

    allowed = serializers.BooleanField()
    reason = serializers.ChoiceField(choices=[reason.value for reason in Reason])
    detail = serializers.CharField()
    lease_id = serializers.CharField(allow_blank=True)
    owner = OwnerSerializer(allow_null=True)
    fencing_token = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    server_time = serializers.DateTimeField()
    push_command = serializers.CharField(allow_blank=True)
