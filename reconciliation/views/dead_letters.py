"""Dead letters by cause, and what a person may do about all of one cause."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from reconciliation.selectors.dead_letters import (
    DeadLetterCause,
    DeadLetterChoice,
    dead_letter_causes,
)
from reconciliation.services.dead_letters import (
    Dealt,
    ReasonTooShort,
    discard_dead_letters,
    requeue_dead_letters,
)
from reconciliation.views.forms import CauseForm, DiscardForm, RequeueForm
from reconciliation.views.visit import Visit, for_people


@dataclass(frozen=True, slots=True)
class CauseLine:
    """A cause with the forms to deal with it; `open_form` is the one that was refused."""

    cause: DeadLetterCause
    requeue: RequeueForm
    discard: DiscardForm
    open_form: str


def cause_lines(visit: Visit, *, refused: CauseForm | None = None) -> tuple[CauseLine, ...]:
    """Return the causes of the caller's dead letters, each with its forms."""
    lines = []
    for place, cause in enumerate(dead_letter_causes(visit.caller)):
        told = {
            "cause_class": cause.error_class,
            "cause_code": cause.error_code,
            "cause_host": cause.host,
        }
        requeue, discard, open_form = RequeueForm(initial=told), DiscardForm(initial=told), ""
        if refused is not None and refused.cause == requeue.cause:
            if isinstance(refused, RequeueForm):
                requeue, open_form = refused, "requeue"
            elif isinstance(refused, DiscardForm):
                discard, open_form = refused, "discard"
        requeue.auto_id, discard.auto_id = f"requeue{place}_%s", f"discard{place}_%s"
        lines.append(CauseLine(cause, requeue, discard, open_form))
    return tuple(lines)


@require_POST
@for_people
def requeue(visit: Visit) -> HttpResponse:
    """Requeue all dead letters of one cause."""
    return _deal(visit, RequeueForm(visit.request.POST))


@require_POST
@for_people
def discard(visit: Visit) -> HttpResponse:
    """Discard all dead letters of one cause."""
    return _deal(visit, DiscardForm(visit.request.POST))


def _deal(visit: Visit, form: CauseForm) -> HttpResponse:
    caller = visit.caller_where("tasks")
    if not caller.has_scope("tasks"):
        raise PermissionDenied("Your role does not cover requeueing or discarding dead letters.")
    service = requeue_dead_letters if isinstance(form, RequeueForm) else discard_dead_letters
    if not form.is_valid():
        return _refused(visit, form)
    try:
        dealt = service(
            DeadLetterChoice(
                error_class=form.cleaned_data["cause_class"],
                error_code=form.cleaned_data["cause_code"],
                host=form.cleaned_data["cause_host"],
            ),
            caller=caller,
            reason=form.cleaned_data["reason"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        )
    except ReasonTooShort as error:
        form.add_error("reason", str(error))
        return _refused(visit, form)
    _tell(visit, form, dealt)
    return redirect(f"{reverse('pages:tasks')}?state=dead")


def _refused(visit: Visit, form: CauseForm) -> HttpResponse:
    return visit.page(
        "dead_letters.html", status=400, causes=cause_lines(visit, refused=form), can_deal=True
    )


def _tell(visit: Visit, form: CauseForm, dealt: Dealt) -> None:
    did = "requeued" if isinstance(form, RequeueForm) else "discarded"
    number = len(dealt.done)
    messages.success(visit.request, f"{number} dead letter{'' if number == 1 else 's'} {did}.")
    if dealt.refused:
        messages.warning(
            visit.request,
            f"{len(dealt.refused)} were left: they died again after three requeues, so their"
            " cause needs mending first.",
        )
    if dealt.left:
        messages.warning(visit.request, f"{dealt.left} more are left: do it again for them.")
