"""Addresses of the pages at `/`, and of the API below `api/v1/`."""

from importlib.util import find_spec

from django.urls import include, path

from reconciliation.views import (
    alerts,
    dead_letters,
    overview,
    planner,
    policies,
    repositories,
    work,
)

pages = [
    path("", overview.overview_page, name="overview"),
    path("find", overview.find, name="find"),
    path("findings", alerts.findings, name="findings"),
    path("alerts", alerts.alerts, name="alerts"),
    path("alerts/<int:alert_id>", alerts.alert, name="alert"),
    path("alerts/<int:alert_id>/acknowledge", alerts.acknowledge, name="acknowledge"),
    path("alerts/<int:alert_id>/snooze", alerts.snooze, name="snooze"),
    path("alerts/<int:alert_id>/reopen", alerts.reopen, name="reopen"),
    path("alerts/<int:alert_id>/accept", alerts.accept, name="accept"),
    path("repositories", repositories.repositories, name="repositories"),
    path("repositories/<str:tenant>/<str:repo>", repositories.repository, name="repository"),
    path("repositories/<str:tenant>/<str:repo>/check", repositories.check_now, name="check-now"),
    path(
        "repositories/<str:tenant>/<str:repo>/accept-default-branch",
        repositories.accept_default,
        name="accept-default-branch",
    ),
    # Branch names hold slashes, percent signs and any letter: the rest of the path is the name.
    path(
        "repositories/<str:tenant>/<str:repo>/branches/<path:name>",
        repositories.branch,
        name="branch",
    ),
    path("branches/<int:branch_id>/accept", repositories.accept_branch_head, name="accept-branch"),
    path("policies", policies.policies, name="policies"),
    path("policies/layer", policies.layer, name="policy-layer"),
    path("policies/explain", policies.explained, name="policy-explained"),
    path("policies/simulate", policies.simulation, name="policy-simulation"),
    path("trace/<str:correlation_id>", work.trace, name="trace"),
    path("tasks", work.tasks, name="tasks"),
    path("tasks/dead-letters/requeue", dead_letters.requeue, name="requeue"),
    path("tasks/dead-letters/discard", dead_letters.discard, name="discard"),
    path("tasks/<int:task_id>", work.task, name="task"),
    path("sweeps", work.sweeps, name="sweeps"),
    path("sweeps/planner", planner.sweep_planner, name="sweep-planner"),
    path("sweeps/<int:sweep_id>", work.sweep, name="sweep"),
]

urlpatterns = [path("", include((pages, "pages")))]
if find_spec("reconciliation.api.urls") is not None:
    urlpatterns.append(path("api/v1/", include("reconciliation.api.urls")))
