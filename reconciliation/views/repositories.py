"""Repositories and their branches."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.visible import NotVisible, repository_named, visible_branches
from reconciliation.models import Origin
from reconciliation.selectors.branches import branch_list, branch_page
from reconciliation.selectors.repositories import repository_list, repository_page
from reconciliation.selectors.tasks import task_page
from reconciliation.selectors.webhook_health import webhook_health
from reconciliation.services.intake import request_observation
from reconciliation.views.accepting import (
    accept_default_from,
    accept_from,
    bound_to_head,
    is_acceptable,
)
from reconciliation.views.address import any_text, one_of, switch
from reconciliation.views.forms import AcceptDefaultBranchForm, AcceptHeadForm
from reconciliation.views.visit import Visit, for_people, takes

BRANCH_CLASSES = ("default", "protected", "governed", "other")
_BRANCH_FILTERS = {
    "q": any_text,
    "class": one_of(BRANCH_CLASSES),
    "drifted": switch,
    "after": any_text,
}


@require_safe
@for_people
@takes({"q": any_text, "tenant": any_text, "failing": switch, "after": any_text})
def repositories(visit: Visit) -> HttpResponse:
    """List repositories, or say how to connect the first one."""
    asked = visit.asked
    search, tenant = asked["q"].strip(), asked["tenant"]
    failing = asked["failing"] == "1"
    return visit.page(
        "repositories.html",
        page=repository_list(
            visit.caller,
            search=search,
            tenant=tenant,
            failing=failing,
            after=asked["after"],
        ),
        search=search,
        tenant=tenant,
        failing=failing,
        is_filtered=bool(search or tenant or failing or asked["after"]),
    )


@require_safe
@for_people
@takes(_BRANCH_FILTERS)
def repository(visit: Visit, tenant: str, repo: str) -> HttpResponse:
    """Show one repository: how fresh it is, its webhook, its branches."""
    return _repository(visit, tenant, repo, form=None)


def _repository(
    visit: Visit, tenant: str, repo: str, *, form: AcceptDefaultBranchForm | None
) -> HttpResponse:
    asked = {name: visit.asked.get(name, "") for name in _BRANCH_FILTERS}
    seen = repository_page(visit.caller, tenant=tenant, repo=repo)
    row = seen.repository
    is_other_default = row.default_branch != row.governed_default_branch
    accept_form = form or AcceptDefaultBranchForm()
    accept_form.bind_to(expected_default=row.default_branch)
    branch_class = asked["class"]
    search, drifted = asked["q"], asked["drifted"] == "1"
    return visit.page(
        "repository.html",
        status=400 if form is not None else 200,
        seen=seen,
        is_other_default=is_other_default,
        can_accept=is_other_default and visit.may("admin", tenant=tenant),
        accept_form=accept_form,
        health=webhook_health(seen.repository, visit.caller, now=visit.now),
        can_check=seen.repository.is_active and visit.may("tasks", tenant=tenant),
        branches=branch_list(
            visit.caller,
            repository=seen.repository,
            search=search,
            drifted=drifted,
            branch_class=branch_class,
            after=asked["after"],
        ),
        classes=BRANCH_CLASSES,
        search=search,
        drifted=drifted,
        branch_class=branch_class,
    )


@require_POST
@for_people
def accept_default(visit: Visit, tenant: str, repo: str) -> HttpResponse:
    """Accept the default branch that the person saw."""
    row = repository_named(visit.caller, tenant=tenant, repo=repo)
    caller = visit.caller_with("admin", tenant=tenant)
    form = AcceptDefaultBranchForm(visit.request.POST)
    if not accept_default_from(form, row, caller=caller, visit=visit):
        return _repository(visit, tenant, repo, form=form)
    messages.success(visit.request, f"Accepted {row.default_branch} as the default branch.")
    return redirect("pages:repository", tenant, repo)


@require_POST
@for_people
def check_now(visit: Visit, tenant: str, repo: str) -> HttpResponse:
    """Have all heads of a repository read now, and show how that goes."""
    row = repository_named(visit.caller, tenant=tenant, repo=repo)
    visit.caller_with("tasks", tenant=tenant)
    if not row.is_active:
        messages.error(visit.request, f"{tenant}/{repo} is switched off: nothing was checked.")
        return redirect("pages:repository", tenant, repo)
    task_id = request_observation(
        repositories_by_id([row.pk])[row.pk],
        about=f"request {visit.correlation_id}",
        origin=Origin.MANUAL,
        correlation_id=visit.correlation_id,
        now=visit.now,
    )
    return redirect("pages:trace", task_page(task_id, visit.caller).task.correlation_id)


@require_safe
@for_people
def branch(visit: Visit, tenant: str, repo: str, name: str) -> HttpResponse:
    """Show one branch: the coherence matrix, findings and why, timeline, next check."""
    return _branch(visit, tenant, repo, name, form=None)


def _branch(
    visit: Visit, tenant: str, repo: str, name: str, *, form: AcceptHeadForm | None
) -> HttpResponse:
    seen = branch_page(visit.caller, tenant=tenant, repo=repo, branch=name, now=visit.now)
    row = seen.branch
    can_accept = is_acceptable(row) and visit.may("admin", tenant=tenant)
    return visit.page(
        "branch.html",
        status=400 if form is not None else 200,
        seen=seen,
        can_accept=can_accept,
        can_check=row.repository.is_active and visit.may("tasks", tenant=tenant),
        accept_form=bound_to_head(form or AcceptHeadForm(), row),
    )


@require_POST
@for_people
def accept_branch_head(visit: Visit, branch_id: int) -> HttpResponse:
    """Accept the head that the person saw as the new governed snapshot."""
    row = visible_branches(visit.caller).filter(pk=branch_id).first()
    if row is None:
        raise NotVisible(f"There is no branch {branch_id}, or it is not yours to see.")
    tenant, repo = row.repository.tenant.slug, row.repository.slug
    caller = visit.caller_with("admin", tenant=tenant)
    form = AcceptHeadForm(visit.request.POST)
    if not accept_from(form, row, caller=caller, visit=visit):
        return _branch(visit, tenant, repo, row.name, form=form)
    messages.success(visit.request, f"Accepted the remote head of {row.name} as governed.")
    return redirect("pages:branch", tenant, repo, row.name)
