"""Tells the demonstration's story in one process, on its own git, so that tests can go on from it.

The same repositories, scenes, policy and commands; only web server and worker are this process.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from demo.git_host import GitHost
from demo.main import LEASE_SECONDS, found_by_sweep_of, leases_of, pushes_of
from demo.post_receive import announcement, headers
from demo.repositories import Clone
from demo.story import (
    HEARTBEAT_SECONDS,
    POLICY,
    Scene,
    Stage,
    build_payments,
    build_portal,
    found_by_sweep,
    leases,
    pushes,
)
from governance.models import Tenant
from reconciliation.management.commands.reconcile import UNFINISHED
from reconciliation.services.execute import Limits, drain
from reconciliation.services.observe.remote import configured_remote
from tests.factories.governance import api_client

REPOSITORIES = ("payments", "portal")
_ANNOUNCED = "announced"
_HOOK = f"""#!/bin/sh
[ -e mute ] || while read -r move; do echo "$move $REMOTE_USER" >> {_ANNOUNCED}; done
"""
_LIMITS = Limits(batch=50, claim_seconds=60, total_seconds=60)


class Story:
    """The installation of the story; `ahead` is how far its worker's clock is ahead."""

    def __init__(self, folder: Path, host: GitHost) -> None:
        self.folder = folder
        self.ahead = timedelta(0)
        self.clones = {
            name: Clone(host.root, folder / "work", name, f"{host.url}/{name}.git")
            for name in ("acme/payments", "acme/portal")
        }
        self.hooks: dict[str, dict[str, str]] = {}
        self._client: APIClient | None = None

    @property
    def now(self) -> datetime:
        return timezone.now() + self.ahead

    def begin(self) -> None:
        """Build and govern the repositories, as the demonstration does."""
        payments, portal = self.clones.values()
        build_payments(payments)
        build_portal(portal)
        self._govern(payments, "github", repository_id=101)
        self._govern(portal, "gitea", repository_id=102)
        self._client = api_client(("admin",), Tenant.objects.get(slug="acme"))
        (self.folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        self.manage(
            *("policy", "publish", str(self.folder / "policy.yaml"), "--layer", "workspace"),
            *("--target", "acme/main", "--reason", "as in the demonstration"),
        )

    def play(self) -> list[Scene]:
        """Play every scene; a lease's last seconds are waited for."""
        stage = Stage(self.clones["acme/payments"], self.clones["acme/portal"], self)
        scenes = [*pushes(), *leases(), *found_by_sweep()]
        for scene in pushes_of(scenes):
            if scene.prepare is not None:
                scene.prepare(stage)
            scene.play(stage)
            self.announce()
            self.drain()
        for name, branch in (
            ("checkout", "reach/checkout/20250317"),
            ("reports", "reach/reports/20250318"),
        ):
            self._hold(stage, name, branch)
        held_at = time.monotonic()
        for scene in found_by_sweep_of(scenes):
            scene.play(stage)
        self.manage("sweep", "acme/main", "--all")
        self.drain()
        # Until a heartbeat that did not come proves a run dead; the leases last a little longer.
        time.sleep(max(0.0, held_at + HEARTBEAT_SECONDS + 1 - time.monotonic()))
        self.post("runs/run-checkout/heartbeat", repo="portal")
        self.manage("sweep", "acme/main/portal")
        self.drain()
        assert len(leases_of(scenes)) == 2
        return scenes

    def pass_over(self) -> None:
        """Look at every branch again, until nothing that was found waits for another look."""
        for name in REPOSITORIES:
            self.manage("reconcile", f"acme/main/{name}")
        for _ in range(3):
            self.ahead += timedelta(seconds=10)
            self.drain()

    def get(self, path: str, **query: Any) -> Any:
        """GET from the API, when all work is done."""
        self.drain()
        return self._client.get(f"/api/v1/{path}", query).json()  # type: ignore[union-attr]

    def post(self, path: str, **body: Any) -> Any:
        """POST to the API."""
        assert self._client is not None
        answer = self._client.post(f"/api/v1/{path}", body, format="json")
        assert answer.status_code < 300, answer.content
        return answer.json()

    def manage(self, *arguments: str) -> Any:
        """Run a command and return what it printed as JSON."""
        out = StringIO()
        try:
            call_command(*arguments, "--json", stdout=out)
        except CommandError as unfinished:
            # A pass whose heads must settle first; `pass_over` waits for them.
            if unfinished.returncode != UNFINISHED:
                raise
        return json.loads(out.getvalue())

    def drain(self) -> None:
        """Work off what is due."""
        drain(worker="test", remote=configured_remote(), clock=lambda: self.now, limits=_LIMITS)

    def announce(self) -> None:
        """Post the webhooks of what was pushed since."""
        for name, clone in self.clones.items():
            log = clone.bare / _ANNOUNCED
            if not log.exists():
                continue
            hook = self.hooks[name]
            for before, after, ref, pusher in map(str.split, log.read_text().splitlines()):
                event, payload = announcement(hook, before, after, ref, pusher)
                body = json.dumps(payload).encode()
                sent = headers(hook, event, body)
                answer = Client().post(
                    hook["path"], body, content_type=sent.pop("Content-Type"), headers=sent
                )
                assert answer.status_code == 202, answer.content
            log.unlink()

    def _govern(self, clone: Clone, dialect: str, *, repository_id: int) -> None:
        hook = clone.bare / "hooks" / "post-receive"
        hook.write_text(_HOOK, encoding="utf-8")
        hook.chmod(0o755)
        told = self.manage(
            *("connect_repository", clone.url, "--tenant", "acme", "--workspace", "main"),
            *("--host", dialect),
        )
        self.hooks[clone.full_name] = {
            "path": told["path"],
            "secret": told["secret"],
            "dialect": dialect,
            "repository_id": str(repository_id),
            "full_name": clone.full_name,
            "clone_url": clone.url,
            "default_branch": "main",
        }

    def _hold(self, stage: Stage, name: str, branch: str) -> None:
        self.post(
            "leases",
            repo="portal",
            scope="branch-level",
            branch=branch,
            lease_id=f"lease-{name}",
            owner={"user_id": "carol", "agent_id": f"agent-{name}"},
            ttl_seconds=LEASE_SECONDS,
        )
        self.post(
            "runs",
            repo="portal",
            branch=branch,
            run_id=f"run-{name}",
            base_sha=stage.portal.head(branch),
            actor="carol",
            lease_id=f"lease-{name}",
        )


@contextmanager
def told(folder: Path) -> Iterator[Story]:
    """Give the story once it is told, with its git host still up."""
    (folder / "host").mkdir()
    (folder / "work").mkdir()
    host = GitHost(folder / "host")
    host.start()
    try:
        # The one remote of this process keeps its mirrors where the settings said at first.
        configured_remote.cache_clear()
        with override_settings(MIRROR_ROOT=folder / "mirrors"):
            story = Story(folder, host)
            story.begin()
            story.play()
            yield story
    finally:
        configured_remote.cache_clear()
        host.stop()
