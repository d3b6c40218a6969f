"""How a trace is drawn: offsets, bars, decisions as readable JSON; decides nothing."""

import json
import math

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from reconciliation.selectors.trace import Trace, TraceStep

register = template.Library()

_WIDTH = 1000


@register.filter
def offset_ms(step: TraceStep, trace: Trace) -> int:
    """Return how long after the first step of the trace a step began, in milliseconds."""
    return round((step.at - trace.started_at).total_seconds() * 1000)


@register.simple_tag
def waterfall_bar(step: TraceStep, trace: Trace) -> SafeString:
    """Return where a step lies between the first and the last, on a logarithmic scale.

    A trace may go from milliseconds (a delivery) to hours (an escalation): on a linear scale all
    but its end would be one dot.
    """
    start = offset_ms(step, trace)
    left = _place(start, trace.took_ms)
    right = _place(start + (step.took_ms or 0), trace.took_ms)
    width = max(10.0, right - left)
    left = min(left, _WIDTH - width)
    return format_html(
        '<svg class="bar" viewBox="0 0 {} 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="axis" x="0" y="5.5" width="{}" height="1"></rect>'
        '<rect class="{}" x="{}" y="1" width="{}" height="10" rx="2"></rect></svg>',
        _WIDTH,
        _WIDTH,
        step.kind,
        f"{left:.1f}",
        f"{width:.1f}",
    )


def _place(milliseconds: int, total: int) -> float:
    if total <= 0:
        return 0.0
    return _WIDTH * math.log1p(max(0, milliseconds)) / math.log1p(total)


@register.filter
def pretty_json(text: str) -> str:
    """Return stored canonical JSON with line breaks; text that is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
