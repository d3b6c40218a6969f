"""Policies as people see them: the layers in force, their history, why a value holds, drafts."""

import yaml
from django.http import Http404, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from audit.domain.caller import Caller
from governance.domain.policy_schema import LAYERS
from governance.selectors.policies import explain
from governance.selectors.policy_history import layers_in_force, version_lines
from governance.selectors.policy_places import NoSuchPlace, PolicyPlace, policy_place
from governance.selectors.visible import NotVisible, repository_named, visible_tenants
from governance.services.policy_planning import PolicyRefused
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.views.address import any_text, one_of, switch, whole_number
from reconciliation.views.simulating import SimulationForm, simulated
from reconciliation.views.visit import Visit, for_people, takes

_VERSIONS_SHOWN = 20
_PLACE = {"layer": one_of(LAYERS), "target": any_text, "branch_pattern": any_text}


@require_safe
@for_people
@takes({"after": any_text})
def policies(visit: Visit) -> HttpResponse:
    """List the layers in force, and ask which policy holds where."""
    lines, after = layers_in_force(visit.caller, after=visit.asked["after"], limit=PAGE_SIZE)
    return visit.page("policies.html", page=Page(lines, after))


@require_safe
@for_people
@takes({**_PLACE, "before": whole_number})
def layer(visit: Visit) -> HttpResponse:
    """Show one layer: its document, its floors, and every version with what it changed."""
    place = place_seen_by(visit.caller, **{name: visit.asked[name] for name in _PLACE})
    before = visit.asked["before"]
    versions, more = version_lines(
        place, before=int(before) if before else None, limit=_VERSIONS_SHOWN
    )
    current = version_lines(place, limit=1)[0] if before else versions[:1]
    if not current:
        raise NotVisible(f"Nothing was ever published for {place.name}.")
    return visit.page(
        "policy_layer.html",
        place=place,
        current=current[0],
        document=written(current[0].document),
        versions=versions,
        more=more,
        may_simulate=may_simulate(visit.caller, place),
    )


@require_safe
@for_people
@takes({"repo": any_text, "branch": any_text, "set": switch})
def explained(visit: Visit) -> HttpResponse:
    """Show the policy in force over a repository or a branch, and which layer set each value."""
    asked = visit.asked
    tenant, _, repo = asked["repo"].strip().partition("/")
    branch = asked["branch"].strip()
    repository = repository_named(visit.caller, tenant=tenant, repo=repo)
    only_set = asked["set"] == "1"
    explanation = explain(repository.pk, branch)
    origins = [one for one in explanation.origins if one.layers or one.overruled or not only_set]
    return visit.page(
        "policy_explained.html",
        repository=repository,
        branch=branch,
        explanation=explanation,
        origins=origins,
        only_set=only_set,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@for_people
@takes(_PLACE)
def simulation(visit: Visit) -> HttpResponse:
    """Ask for a draft and say what it would have decided otherwise; nothing is stored."""
    if visit.request.method != "POST":
        return visit.page("policy_simulation.html", form=_prefilled(visit))
    form = SimulationForm(visit.request.POST)
    if not form.is_valid():
        return visit.page("policy_simulation.html", status=400, form=form)
    try:
        place = place_seen_by(visit.caller, **form.place)
        if not may_simulate(visit.caller, place):
            raise NotVisible("Only who sees every tenant may simulate a policy of the site.")
        found = simulated(form, place=place, now=visit.now)
    except Http404 as error:
        form.add_error("target", str(error))
        return visit.page("policy_simulation.html", status=400, form=form)
    except PolicyRefused as refused:
        return visit.page(
            "policy_simulation.html", status=400, form=form, problems=refused.problems
        )
    return visit.page("policy_simulation.html", form=form, found=found)


def _prefilled(visit: Visit) -> SimulationForm:
    """Return the form with the place that the address names, and what is in force there."""
    if not visit.asked["layer"]:
        tenants = list(visible_tenants(visit.caller)[:2])
        target = tenants[0].slug if len(tenants) == 1 else ""
        return SimulationForm(initial={"layer": "tenant", "target": target})
    initial = {name: visit.asked[name] for name in _PLACE}
    place = place_seen_by(visit.caller, **initial)
    current, _ = version_lines(place, limit=1)
    text = written(current[0].document) if current else ""
    return SimulationForm(initial={**initial, "text": text})


def place_seen_by(caller: Caller, *, layer: str, target: str, branch_pattern: str) -> PolicyPlace:
    """Return a place that exists for the caller; the site's policy holds for everybody.

    Raises:
        NotVisible: there is none, or it is another tenant's.
    """
    tenant = target.partition("/")[0]
    if tenant and not caller.may_see(tenant):
        raise NotVisible(f"There is no {target}, or it is not yours to see.")
    try:
        return policy_place(layer=layer, target=target, branch_pattern=branch_pattern)
    except NoSuchPlace as error:
        raise NotVisible(str(error)) from error


def may_simulate(caller: Caller, place: PolicyPlace) -> bool:
    """Return whether all that lies below the place is the caller's to see."""
    return place.layer != "site" or caller.tenants is None


def written(document: object) -> str:
    """Return a document as somebody would write it."""
    if not document:
        return "{}\n"
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=True)
    return text
