"""The WSGI entry point of the site."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from reconciler_site.databases import limit_waits_of_this_process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.dev")

application = get_wsgi_application()
limit_waits_of_this_process(settings.WEB_DATABASE_SECONDS)
