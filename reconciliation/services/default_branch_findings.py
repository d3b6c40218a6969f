"""Opens and resolves the finding that a repository's default branch is not the accepted one.

Each function returns the audit entries to append, as all of `repository_findings` do.
"""

from datetime import datetime

from audit.domain.entries import Entry
from governance.selectors.branch_facts import RepositoryRow
from reconciliation.domain.findings import FindingDraft, RuleHit
from reconciliation.models import TaskKind
from reconciliation.services.repository_findings import About, open_finding, resolve_finding

CHANGED = "default_branch_changed"


def open_default_branch_finding(
    repository: RepositoryRow, default_branch: str, *, correlation_id: str, now: datetime
) -> list[Entry]:
    """Open the finding: HEAD names `default_branch`, and nobody accepted that."""
    accepted = repository.governed_default_branch
    return open_finding(
        _about(repository),
        FindingDraft(
            stable_class=CHANGED,
            severity="high",
            alerting=True,
            rule_hits=(
                RuleHit(
                    "repository.default_branch_changed",
                    80,
                    (("accepted", accepted), ("head", default_branch)),
                ),
            ),
            summary=(
                f"The default branch of {repository.tenant}/{repository.slug} is {default_branch}"
                f" now; governance accepted {accepted}."
            ),
            recommendation=(
                f"Accept {default_branch} on the repository's page if that was meant; until then"
                f" both branches count as the default one. If not, make {accepted} the default"
                " branch again on the host."
            ),
            command="",
            expected=(("default_branch", accepted),),
            actual=(("default_branch", default_branch),),
        ),
        reason=f"HEAD names {default_branch}",
        correlation_id=correlation_id,
        now=now,
    )


def resolve_default_branch_finding(
    repository: RepositoryRow, *, resolution: str, correlation_id: str, now: datetime
) -> list[Entry]:
    """Resolve the finding where it is open: by evidence, or because a person accepted."""
    return resolve_finding(
        _about(repository), CHANGED, resolution=resolution, correlation_id=correlation_id, now=now
    )


def _about(repository: RepositoryRow) -> About:
    return About(repository, "repository", str(repository.id), TaskKind.OBSERVE_REFS)
