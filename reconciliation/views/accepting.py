"""Hands what a person accepts to its service and puts the refusal onto the form."""

from audit.domain.caller import Caller
from governance.selectors.visible import Branch, Repository
from reconciliation.services import default_branches
from reconciliation.services.snapshots import (
    HeadMoved,
    NothingToAccept,
    ReasonTooShort,
    accept_head,
)
from reconciliation.views.forms import AcceptDefaultBranchForm, AcceptHeadForm
from reconciliation.views.visit import Visit


def is_acceptable(branch: Branch) -> bool:
    """Return whether there is a head, or a deletion, that governance has not accepted."""
    return branch.observed_head != branch.governed_head or branch.gone_at is not None


def bound_to_head(form: AcceptHeadForm, branch: Branch) -> AcceptHeadForm:
    """Return the form, bound to the head that is on the screen; empty means a deletion."""
    form.bind_to(expected_head=branch.observed_head or "")
    return form


def accept_from(form: AcceptHeadForm, branch: Branch, *, caller: Caller, visit: Visit) -> bool:
    """Return whether the head was accepted; if not, the form says why."""
    if not form.is_valid():
        return False
    try:
        accept_head(
            branch.repository_id,
            branch.name,
            expected_head=form.cleaned_data["expected_head"],
            caller=caller,
            reason=form.cleaned_data["reason"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        )
    except HeadMoved as error:
        form.add_error(None, f"{error} Nothing was accepted.")
    except NothingToAccept as error:
        form.add_error(None, str(error))
    except ReasonTooShort as error:
        form.add_error("reason", str(error))
    return not form.errors


def accept_default_from(
    form: AcceptDefaultBranchForm, repository: Repository, *, caller: Caller, visit: Visit
) -> bool:
    """Return whether the default branch was accepted; if not, the form says why."""
    if not form.is_valid():
        return False
    try:
        default_branches.accept_default_branch(
            repository.pk,
            expected=form.cleaned_data["expected_default"],
            caller=caller,
            reason=form.cleaned_data["reason"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        )
    except default_branches.DefaultBranchMoved as error:
        form.add_error(None, f"{error} Nothing was accepted.")
    except default_branches.NothingToAccept as error:
        form.add_error(None, str(error))
    except default_branches.ReasonTooShort as error:
        form.add_error("reason", str(error))
    return not form.errors
