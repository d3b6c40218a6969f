"""Storage of what is governed."""

from governance.models.credential import ApiToken, RemoteCredential, Scope
from governance.models.lease import Lease, LeaseScope, LeaseState
from governance.models.policy import EffectivePolicy, Immutable, Layer, PolicyVersion
from governance.models.repository import (
    AnnouncedBy,
    Branch,
    BranchClass,
    GateResult,
    HostKind,
    PullRequest,
    PullRequestState,
    Repository,
)
from governance.models.run import RunRecord, RunStatus
from governance.models.tenancy import Alias, Membership, Role, Tenant, Workspace

__all__ = [
    "Alias",
    "AnnouncedBy",
    "ApiToken",
    "Branch",
    "BranchClass",
    "EffectivePolicy",
    "GateResult",
    "HostKind",
    "Immutable",
    "Layer",
    "Lease",
    "LeaseScope",
    "LeaseState",
    "Membership",
    "PolicyVersion",
    "PullRequest",
    "PullRequestState",
    "RemoteCredential",
    "Repository",
    "Role",
    "RunRecord",
    "RunStatus",
    "Scope",
    "Tenant",
    "Workspace",
]
