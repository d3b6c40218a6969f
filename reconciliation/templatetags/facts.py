"""How facts look: ages, commit ids, chips, links; decides nothing and reads no table."""

import re
from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audit.correlation import current_correlation_id
from audit.domain.canonical import utc_text

register = template.Library()

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

DRIFT_WORDS = {
    "in_sync": "in sync",
    "fast_forward": "fast-forward",
    "rewound": "rewound",
    "rewritten": "rewritten",
    "unrelated": "unrelated",
    "deleted": "deleted",
    "recreated": "recreated",
    "created": "created",
    "unknown": "unknown",
}
DRIFT_MEANINGS = {
    "in_sync": "The remote head is the governed head.",
    "fast_forward": "The remote is ahead of the governed head.",
    "rewound": "The remote was reset to before the governed head.",
    "rewritten": "Force-push or rebase: the governed head is no longer part of the history.",
    "unrelated": "The new history shares no commit with the governed head.",
    "deleted": "The branch is gone from the remote.",
    "recreated": "The branch was deleted and is back.",
    "created": "New on the remote, without a governed snapshot.",
    "unknown": "Cannot be told: it may or may not be in sync.",
}


def age_in_words(moment: datetime, now: datetime) -> str:
    """Return `40 s ago`, `2 h 10 min ago` or `in 3 min`: two units below ten, one above."""
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "now"
    place = next(index for index, (length, _) in enumerate(_UNITS) if size >= length)
    length, name = _UNITS[place]
    whole = int(size // length)
    words = f"{whole} {name}"
    if place < 2 and whole < 10:
        smaller, small_name = _UNITS[place + 1]
        rest = int(size % length // smaller)
        words += f" {rest} {small_name}" if rest else ""
    return f"in {words}" if seconds < 0 else f"{words} ago"


def in_utc(moment: datetime) -> str:
    """Return `2026-03-01 12:00:00 UTC`."""
    return utc_text(moment)[:19].replace("T", " ") + " UTC"


@register.simple_tag(takes_context=True)
def age(
    context: Any, moment: datetime | None, missing: str = "never", *, bare: bool = False
) -> SafeString:
    """Return how long ago something was, with the instant in UTC as its title.

    `bare` leaves the `ago` out, where a heading says it.
    """
    if moment is None:
        return format_html('<span class="muted">{}</span>', missing)
    words = age_in_words(moment, context["now"])
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}">{}</time>',
        utc_text(moment),
        in_utc(moment),
        "bare" if bare else "",
        words.removesuffix(" ago") if bare else words,
    )


@register.filter
def utc(moment: datetime | None) -> str:
    """Return the instant as text, or nothing."""
    return in_utc(moment) if moment else ""


@register.filter
def milliseconds(value: int | None) -> str:
    """Return a length of time as `48 ms`, `1.3 s` or `2 min 5 s`; nothing when it has none."""
    if value is None:
        return ""
    if value < 1000:
        return f"{value} ms"
    if value < 60_000:
        return f"{value / 1000:.1f} s"
    minutes, seconds = divmod(value // 1000, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon of the sprite; it is decoration, the word beside it says the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>',
        static("reconciler/icons.svg"),
        name,
    )


@register.simple_tag
def copy_button(text: str, what: str = "") -> SafeString:
    """Return a button that copies `text`; scripts unhide it, without them it stays away."""
    return format_html(
        '<button type="button" class="copy" hidden data-copy="{}" aria-label="Copy {}">{}</button>',
        text,
        what or text,
        icon("copy"),
    )


@register.simple_tag
def sha(value: str | None, missing: str = "—") -> SafeString:
    """Return a commit id: ten digits shown, all of them in the title and on the copy button."""
    if not value:
        return format_html('<span class="muted">{}</span>', missing)
    return format_html(
        '<span class="sha"><code title="{}">{}</code>{}</span>',
        value,
        value[:10],
        copy_button(value, f"commit {value[:10]}"),
    )


def _chip(kind: str, word: str, *, picture: str = "", title: str = "") -> SafeString:
    return format_html(
        '<span class="chip {}"{}>{}{}</span>',
        kind,
        format_html(' title="{}"', title) if title else "",
        icon(picture) if picture else "",
        word,
    )


@register.simple_tag
def severity(level: str) -> SafeString:
    """Return a severity as icon and word."""
    return _chip(level, level.capitalize(), picture=level) if level else SafeString("")


@register.simple_tag
def drift(drift_class: str) -> SafeString:
    """Return a class of head drift, or of another check, as icon and word."""
    word = DRIFT_WORDS.get(drift_class)
    if word is None:
        return _chip("drift", drift_class.replace("_", " "))
    return _chip(
        f"drift {drift_class}", word, picture=drift_class, title=DRIFT_MEANINGS[drift_class]
    )


@register.simple_tag
def state(word: str) -> SafeString:
    """Return the state of an alert, a task, a finding or an attempt."""
    pictures = {
        "open": "open",
        "acknowledged": "acknowledged",
        "snoozed": "snoozed",
        "resolved": "ok",
        "completed": "ok",
        "dead": "deleted",
    }
    return _chip(word, word.replace("_", " ").capitalize(), picture=pictures.get(word, ""))


@register.simple_tag
def sweep_status(word: str) -> SafeString:
    """Return how a sweep stands: complete, running or degraded."""
    kind = {"complete": "ok", "running": "running", "degraded": "bad"}[word]
    return _chip(kind, word.capitalize(), picture={"ok": "ok", "bad": "high"}.get(kind, ""))


@register.simple_tag
def agrees(answer: bool | None) -> SafeString:
    """Return whether a source agrees; unknown has its own look, it is no kind of yes."""
    if answer is None:
        return _chip("unknown", "Unknown", picture="unknown")
    return _chip("ok", "Agrees", picture="ok") if answer else _chip("bad", "Differs", picture="bad")


@register.filter
def verdict(answer: bool | None) -> str:
    """Return ok, bad or unknown: the class of a row."""
    return "unknown" if answer is None else "ok" if answer else "bad"


@register.simple_tag
def branch_url(tenant: str, repo: str, branch: str) -> str:
    """Return the address of a branch page, or of the repository's when there is no branch."""
    if not branch:
        return reverse("pages:repository", args=(tenant, repo))
    return reverse("pages:branch", args=(tenant, repo, branch))


@register.simple_tag
def place(tenant: str, repo: str, branch: str = "") -> SafeString:
    """Return where something is, as a link."""
    where = format_html("{}/{}", tenant, repo)
    if branch:
        where = format_html("{} @ {}", where, branch)
    return format_html(
        '<span class="place"><a href="{}">{}</a></span>', branch_url(tenant, repo, branch), where
    )


@register.simple_tag
def trace_link(correlation_id: str) -> SafeString:
    """Return a link to the trace of a correlation id, shortened."""
    if not correlation_id:
        return SafeString("")
    return format_html(
        '<a class="mono" href="{}" title="Trace {}">{}…</a>',
        reverse("pages:trace", args=(correlation_id,)),
        correlation_id,
        correlation_id[:13],
    )


@register.simple_tag(takes_context=True)
def nav_link(context: Any, name: str, word: str) -> SafeString:
    """Return a link of the top bar, marked when the page lies below it."""
    target = reverse(name)
    request = context.get("request")
    here = request is not None and (
        request.path == target or (target != "/" and request.path.startswith(f"{target}"))
    )
    return format_html(
        '<a href="{}"{}>{}</a>', target, SafeString(' aria-current="page"') if here else "", word
    )


@register.simple_tag(takes_context=True)
def with_query(context: Any, **changes: str) -> str:
    """Return this page's query string with some parameters changed; an empty value removes."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value:
            query[name] = value
    return f"?{query.urlencode()}"


@register.simple_tag
def share_bar(*parts: Any) -> SafeString:
    """Return a bar of `class, number` pairs; widths are attributes: no inline style is needed."""
    pairs = [
        (kind, max(0, number or 0)) for kind, number in zip(parts[::2], parts[1::2], strict=True)
    ]
    total = sum(number for _, number in pairs) or 1
    rects, left = [], 0.0
    for kind, number in pairs:
        # What exists is visible, however small its share.
        width = max(1.2, 100 * number / total) if number else 0.0
        rects.append((kind, f"{left:.2f}", f"{width:.2f}"))
        left += width
    return format_html(
        '<svg class="meter" viewBox="0 0 {} 8" preserveAspectRatio="none" aria-hidden="true">'
        "{}</svg>",
        f"{max(left, 100):.2f}",
        format_html_join("", '<rect class="{}" x="{}" y="0" width="{}" height="8"></rect>', rects),
    )


@register.simple_tag
def correlation_id() -> str:
    """Return the id of this request, for pages that tell of an error."""
    return current_correlation_id()


@register.filter
def in_minutes(seconds: int) -> str:
    """Return a wait of a policy as `15 min` or `4 h`."""
    minutes = int(seconds) // 60
    return f"{minutes // 60} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} min"


@register.simple_tag
def value(text: str) -> SafeString:
    """Return a stored value: commit ids shortened, everything else as it is."""
    return sha(text) if _COMMIT.fullmatch(text) else format_html("{}", text)
