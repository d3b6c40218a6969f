"""The admin's pages of what is governed: read-mostly, scoped by tenant, links to the product."""

from governance.admin import credentials, policies, repositories, tenancy, work

__all__ = ["credentials", "policies", "repositories", "tenancy", "work"]
