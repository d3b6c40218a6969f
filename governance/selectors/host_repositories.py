"""Which repository a host means: by the address it was connected with, or the best guess."""

from governance.models import Repository


def repository_without_host_id(*, tenant_id: int, full_name: str, clone_url: str) -> int | None:
    """Return the repository at this address whose host's id is not known yet, if it is one only.

    Addresses are compared without `.git` and user; without an address, ours must end in the name.
    """
    address = _bare_address(clone_url)
    found = [
        pk
        for pk, url in Repository.objects.filter(tenant_id=tenant_id, host_repository_id="")
        .order_by("pk")
        .values_list("pk", "clone_url")
        if (_bare_address(url) == address if address else _ends_in(url, full_name))
    ]
    return found[0] if len(found) == 1 else None


def first_repository_of(*, tenant_id: int, host_kind: str) -> int | None:
    """Return a tenant's first active repository by name, on a host of this kind if there is one."""
    rows = Repository.objects.filter(tenant_id=tenant_id, is_active=True).order_by("slug")
    ids = rows.values_list("pk", flat=True)
    return ids.filter(host_kind=host_kind).first() or ids.first()


def _bare_address(clone_url: str) -> str:
    scheme, separator, rest = clone_url.rstrip("/").removesuffix(".git").partition("://")
    host, slash, path = rest.rpartition("@")[2].partition("/")
    return f"{scheme}{separator}{host.lower()}{slash}{path}"


def _ends_in(clone_url: str, full_name: str) -> bool:
    bare = _bare_address(clone_url)
    return bool(full_name) and bare.endswith((f"/{full_name}", f":{full_name}"))
