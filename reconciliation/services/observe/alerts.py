"""Observes findings and alerts of branches, with the heads that acknowledgements are bound to."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from governance.selectors.branch_facts import RepositoryRow, branches_by_key
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import AlertFacts, Place
from reconciliation.models import Alert, Finding
from reconciliation.remotes.base import Remote
from reconciliation.services.alert_facts import alert_fact, finding_fact
from reconciliation.services.observe.values import Batch, Gathered
from reconciliation.services.queue import ClaimedTask


def observe_alerts(
    tasks: Sequence[ClaimedTask],
    repositories: Mapping[int, RepositoryRow],
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather findings and alerts of the tasks' branches by three statements."""
    keys = {(task.repository_id, task.branch) for task in tasks}
    heads = branches_by_key(keys)
    findings: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    rows = Finding.objects.filter(
        repository_id__in={pk for pk, _ in keys}, branch__in={name for _, name in keys}
    ).order_by("fingerprint")
    for row in rows:
        findings[row.repository_id, row.branch].append(row)
    alerts: dict[tuple[int, str], list[Alert]] = defaultdict(list)
    for alert in (
        Alert.objects.filter(finding__in=[row.pk for row in rows])
        .select_related("finding")
        .order_by("finding__fingerprint")
    ):
        alerts[alert.repository_id, alert.branch].append(alert)
    batch = Batch()
    for task in tasks:
        key = (task.repository_id, task.branch)
        branch = heads.get(key)
        facts = AlertFacts(
            place=Place(task.tenant, task.workspace, task.repo, task.branch),
            governed_head=branch.governed_head if branch else None,
            observed_head=branch.observed_head if branch else None,
            findings=tuple(finding_fact(row) for row in findings.get(key, [])),
            alerts=tuple(alert_fact(row) for row in alerts.get(key, [])),
            head_changes=branch.head_changes if branch else 0,
        )
        batch.gathered.append(Gathered(task, facts, policies.for_branch(*key)))
    return batch
