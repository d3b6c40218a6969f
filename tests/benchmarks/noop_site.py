"""Settings for the benchmarks of the executor: the test settings and one kind of task more."""

from django.apps import AppConfig

from reconciler_site.settings.test import *  # noqa: F403
from reconciler_site.settings.test import INSTALLED_APPS


class NoopKind(AppConfig):
    """Teaches every process with these settings the kind of task that does nothing."""

    name = "tests.benchmarks"
    label = "benchmarks"

    def ready(self) -> None:
        """Add it to the kinds that there are."""
        from tests.benchmarks.noop_kind import install

        install()


INSTALLED_APPS = [*INSTALLED_APPS, "tests.benchmarks.noop_site.NoopKind"]
