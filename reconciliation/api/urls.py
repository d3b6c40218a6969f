"""Addresses of the API below `api/v1/`: what is reconciled, what was found, who may answer it."""

from django.urls import path, re_path

from reconciliation.api.alerts import (
    AcknowledgeAlert,
    AlertDetail,
    AlertList,
    SnoozeAlert,
    UnacknowledgeAlert,
)
from reconciliation.api.branches import AcceptHead, BranchDetail, BranchesOfRepository, BranchList
from reconciliation.api.dead_letters import (
    DeadLetters,
    DiscardDeadLetters,
    RequeueDeadLetters,
)
from reconciliation.api.deliveries import DeliveryDetail, DeliveryList
from reconciliation.api.delivery_replay import ReplayDeliveries, ReplayDelivery
from reconciliation.api.findings import FindingDetail, FindingList
from reconciliation.api.policies import policy_urlpatterns
from reconciliation.api.ratios import AlertRatios
from reconciliation.api.repositories import (
    AcceptDefaultBranch,
    ReconcileRepository,
    RepositoryDetail,
    RepositoryList,
)
from reconciliation.api.runs import FinishRun, HeartbeatRun, RunDetail, RunList
from reconciliation.api.status import StatusView
from reconciliation.api.sweep_planner import SweepPlanner
from reconciliation.api.sweep_start import Sweeps
from reconciliation.api.sweeps import SweepDetail
from reconciliation.api.tasks import TaskDetail, TaskList
from reconciliation.api.traces import TraceDetail
from reconciliation.api.webhooks import WebhookView

_REPOSITORY = "repositories/<str:tenant>/<str:repo>"

urlpatterns = [
    path("status", StatusView.as_view(), name="api-status"),
    path("repositories", RepositoryList.as_view(), name="api-repositories"),
    path(_REPOSITORY, RepositoryDetail.as_view(), name="api-repository"),
    path(f"{_REPOSITORY}/reconcile", ReconcileRepository.as_view(), name="api-reconcile"),
    path(
        f"{_REPOSITORY}/accept-default-branch",
        AcceptDefaultBranch.as_view(),
        name="api-accept-default-branch",
    ),
    path(f"{_REPOSITORY}/accept-head", AcceptHead.as_view(), name="api-accept-head"),
    path(
        f"{_REPOSITORY}/branches",
        BranchesOfRepository.as_view(),
        name="api-branches-of-repository",
    ),
    # A branch name holds slashes: the rest of the path is the name, so nothing may follow it.
    path(
        f"{_REPOSITORY}/branches/<path:branch>",
        BranchDetail.as_view(),
        name="api-branch",
    ),
    path("branches", BranchList.as_view(), name="api-branches"),
    path("findings", FindingList.as_view(), name="api-findings"),
    path("findings/<int:finding_id>", FindingDetail.as_view(), name="api-finding"),
    path("alerts", AlertList.as_view(), name="api-alerts"),
    path("alerts/<int:alert_id>", AlertDetail.as_view(), name="api-alert"),
    path("alerts/<int:alert_id>/acknowledge", AcknowledgeAlert.as_view(), name="api-acknowledge"),
    path("alerts/<int:alert_id>/snooze", SnoozeAlert.as_view(), name="api-snooze"),
    path(
        "alerts/<int:alert_id>/unacknowledge",
        UnacknowledgeAlert.as_view(),
        name="api-unacknowledge",
    ),
    path("alert-ratios", AlertRatios.as_view(), name="api-alert-ratios"),
    path("tasks", TaskList.as_view(), name="api-tasks"),
    path("tasks/<int:task_id>", TaskDetail.as_view(), name="api-task"),
    path("dead-letters", DeadLetters.as_view(), name="api-dead-letters"),
    path("dead-letters/requeue", RequeueDeadLetters.as_view(), name="api-requeue-dead-letters"),
    path("dead-letters/discard", DiscardDeadLetters.as_view(), name="api-discard-dead-letters"),
    path("sweeps", Sweeps.as_view(), name="api-sweeps"),
    path("sweeps/planner", SweepPlanner.as_view(), name="api-sweep-planner"),
    path("sweeps/<int:sweep_id>", SweepDetail.as_view(), name="api-sweep"),
    path("deliveries", DeliveryList.as_view(), name="api-deliveries"),
    path("deliveries/replay", ReplayDeliveries.as_view(), name="api-replay-deliveries"),
    path("deliveries/<int:delivery_id>", DeliveryDetail.as_view(), name="api-delivery"),
    path(
        "deliveries/<int:delivery_id>/replay",
        ReplayDelivery.as_view(),
        name="api-replay-delivery",
    ),
    path("traces/<str:correlation_id>", TraceDetail.as_view(), name="api-trace"),
    path("runs", RunList.as_view(), name="api-runs"),
    path("runs/<str:run_id>", RunDetail.as_view(), name="api-run"),
    path("runs/<str:run_id>/heartbeat", HeartbeatRun.as_view(), name="api-run-heartbeat"),
    path("runs/<str:run_id>/finish", FinishRun.as_view(), name="api-run-finish"),
    *policy_urlpatterns,
    # Hosts are configured by hand, with and without the slash; neither may be redirected.
    re_path(r"^webhooks/(?P<token>[^/]+)(?:/)?$", WebhookView.as_view(), name="webhook"),
]
