"""Django's registration of the site: it has no models, only checks."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """What holds the three apps together."""

    name = "reconciler_site"
    verbose_name = "Site"

    def ready(self) -> None:
        """Register the system checks."""
        from reconciler_site import checks  # noqa: F401 - registers them
