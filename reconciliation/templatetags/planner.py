"""How the planner's page writes spans of time."""

from datetime import timedelta

from django import template

register = template.Library()


@register.simple_tag
def span(length: timedelta | None, missing: str = "—") -> str:
    """Return a span in its two largest units: `2 h 5 min`; `missing` for none."""
    if length is None:
        return missing
    seconds = int(length.total_seconds())
    parts = (
        (seconds // 86400, "d"),
        (seconds // 3600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    )
    told = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "0 s"
