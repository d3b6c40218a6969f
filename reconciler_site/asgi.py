"""The entry point of the web server: the site behind its asynchronous edge."""

from reconciler_site.wsgi import application as site

# After the line above, which sets Django up.
from reconciler_site.edge.app import Edge  # isort: skip
from reconciler_site.edge.limits import Limits  # isort: skip

application = Edge(site, limits=Limits.from_settings())
