"""Links that leave the product, to the git host; follows nothing and trusts no address."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from governance.selectors.visible import Branch, Repository
from reconciliation.templatetags.facts import icon

register = template.Library()

COMPARE_ADDRESSES = {
    "github": "{web}/compare/{old}...{new}",
    "gitea": "{web}/compare/{old}...{new}",
    "forgejo": "{web}/compare/{old}...{new}",
    "gogs": "{web}/compare/{old}...{new}",
    "gitlab": "{web}/-/compare/{old}...{new}",
    "bitbucket": "{web}/branches/compare/{new}..{old}",
    "bitbucket_dc": "{web}/compare/commits?sourceBranch={new}&targetBranch={old}",
    "azure": "{web}/branchCompare?baseVersion=GC{old}&targetVersion=GC{new}",
    # Anything that sends Standard Webhooks, cgit and Pagure among them: no address fits all.
    "generic": "",
}
"""Every kind of host to the address of its comparison of two commits; empty: it has none."""


@register.simple_tag
def compare_link(repository: Repository, branch: Branch) -> SafeString:
    """Return a link to the host's comparison of both heads, where the host has one."""
    pattern = COMPARE_ADDRESSES.get(repository.host_kind, "")
    if not (pattern and branch.governed_head and branch.observed_head):
        return SafeString("")
    address = pattern.format(
        web=repository.web_url.rstrip("/"), old=branch.governed_head, new=branch.observed_head
    )
    return outside(address, f"{branch.governed_head[:7]} and {branch.observed_head[:7]}")


@register.simple_tag
def outside(address: str, word: str = "") -> SafeString:
    """Return a link that leaves the product; an address that is not a web page stays text."""
    if not address.startswith(("https://", "http://")):
        return format_html("{}", address)
    return format_html(
        '<a href="{}" rel="noopener noreferrer">{} {}</a>', address, word or address, icon("out")
    )


@register.filter
def without_secrets(address: str) -> str:
    """Return a clone URL without a password that somebody may have put into it."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
