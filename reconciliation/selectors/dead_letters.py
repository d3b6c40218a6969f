"""Dead letters as people deal with them: grouped by cause, or chosen by filter; changes nothing."""

from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Min, QuerySet

from audit.domain.caller import Caller
from reconciliation.domain.dead_letters import host_of, probable_fix
from reconciliation.models import ReconciliationTask, TaskState
from reconciliation.selectors.visible import visible_tasks


@dataclass(frozen=True, slots=True)
class DeadLetterChoice:
    """Which dead letters are meant; empty means all that the caller may see."""

    task_ids: tuple[int, ...] = ()
    tenant: str = ""
    workspace: str = ""
    repo: str = ""
    task_kind: str = ""
    error_class: str = ""
    error_code: str = ""
    host: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return not any(asdict(self).values())


@dataclass(frozen=True, slots=True)
class DeadLetterCause:
    """Dead letters with one cause on one host; the sample is the newest of them."""

    error_class: str
    error_code: str
    host: str
    count: int
    repositories: int
    first_at: datetime
    last_at: datetime
    sample_id: int
    sample_place: str
    sample_error: str
    probable_fix: str


@dataclass(slots=True)
class _Gathered:
    count: int = 0
    newest: int = 0
    repositories: set[int] = field(default_factory=set)
    firsts: list[datetime] = field(default_factory=list)
    lasts: list[datetime] = field(default_factory=list)


def chosen_dead_letters(caller: Caller, choice: DeadLetterChoice) -> QuerySet[ReconciliationTask]:
    """Return the caller's dead letters that a choice means, in canonical order."""
    rows = visible_tasks(caller).filter(state=TaskState.DEAD)
    if choice.task_ids:
        rows = rows.filter(pk__in=choice.task_ids)
    wanted = {
        "tenant": choice.tenant,
        "workspace": choice.workspace,
        "repo": choice.repo,
        "task_kind": choice.task_kind,
        "last_error_class": choice.error_class,
        "last_error_code": choice.error_code,
    }
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    if choice.host:
        rows = rows.filter(repository_id__in=_repositories_on(choice.host, rows))
    return rows.order_by("tenant", "repo", "branch", "task_kind", "id")


def dead_letter_causes(
    caller: Caller, choice: DeadLetterChoice | None = None
) -> tuple[DeadLetterCause, ...]:
    """Return dead letters grouped by error class, code and host, most frequent first.

    Two queries; the first returns a row for each cause and repository.
    """
    rows = chosen_dead_letters(caller, choice or DeadLetterChoice())
    found: dict[tuple[str, str, str], _Gathered] = {}
    for row in (
        rows.order_by()
        .values("last_error_class", "last_error_code", "repository_id", "repository__clone_url")
        .annotate(
            number=Count("id"),
            first=Min("completed_at"),
            last=Max("completed_at"),
            newest=Max("id"),
        )
    ):
        host = host_of(row["repository__clone_url"])
        key = (row["last_error_class"], row["last_error_code"], host)
        group = found.setdefault(key, _Gathered())
        group.count += row["number"]
        group.newest = max(group.newest, row["newest"])
        group.repositories.add(row["repository_id"])
        group.firsts.append(row["first"])
        group.lasts.append(row["last"])
    samples = visible_tasks(caller).in_bulk([group.newest for group in found.values()])
    causes = [
        _cause(key, group, samples[group.newest])
        for key, group in found.items()
        if group.newest in samples
    ]
    return tuple(
        sorted(causes, key=lambda one: (-one.count, one.error_class, one.error_code, one.host))
    )


def _cause(
    key: tuple[str, str, str], group: _Gathered, sample: ReconciliationTask
) -> DeadLetterCause:
    error_class, error_code, host = key
    return DeadLetterCause(
        error_class=error_class,
        error_code=error_code,
        host=host,
        count=group.count,
        repositories=len(group.repositories),
        first_at=min(group.firsts),
        last_at=max(group.lasts),
        sample_id=sample.pk,
        sample_place=str(sample),
        sample_error=sample.last_error,
        probable_fix=probable_fix(error_code),
    )


def _repositories_on(host: str, rows: QuerySet[ReconciliationTask]) -> list[int]:
    places = rows.order_by().values_list("repository_id", "repository__clone_url").distinct()
    return sorted(pk for pk, clone_url in places if host_of(clone_url) == host.lower())
