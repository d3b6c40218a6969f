"""A served folder, and the site's own remote set up to read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciliation.services.observe import configured_remote
from tests.git_server import GitServer, serving


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[GitServer]:
    """Serve a folder over smart HTTP, and let the commands read it."""
    settings.MIRROR_ROOT = tmp_path / "mirrors"
    settings.ALLOW_INSECURE_HTTP_REMOTES = True
    settings.BLOCK_PRIVATE_REMOTES = False
    root = tmp_path / "served"
    root.mkdir()
    configured_remote.cache_clear()
    with serving(root) as running:
        yield running
    configured_remote.cache_clear()
