#!/usr/bin/env python3
"""Django's command line for this site; DJANGO_SETTINGS_MODULE names the settings, or dev."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.dev")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A mistake in the environment: it says what to change, and a traceback would hide that.
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
