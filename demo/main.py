"""Plays the demonstration: builds real repositories, starts the product, and watches it work.

Everything goes through doors that any user has: management commands, the API, `git push`. The
installation lives in `var/demo` and is made anew on every run.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.api import Api, ApiProblem
from demo.database import make_database
from demo.git_host import GitHost
from demo.report import differences, document, print_table, row_of
from demo.repositories import Clone, clear
from demo.story import (
    HEARTBEAT_SECONDS,
    PATIENCE_SECONDS,
    POLICY,
    Scene,
    Stage,
    build_payments,
    build_portal,
    found_by_sweep,
    leases,
    pushes,
)

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 8000
# Longer than a heartbeat proves life: the lease of a dead run is not renewed before it ends.
LEASE_SECONDS = HEARTBEAT_SECONDS + 3


def _leave(signum: int, _frame: object) -> None:
    sys.exit(128 + signum)


class Demo:
    """One run of the story."""

    def __init__(self, *, once: bool, json_path: Path | None, port: int | None) -> None:
        self.once = once
        self.json_path = json_path
        self.port = _chosen_port(port)
        self.var = ROOT / "var" / "demo"
        self.env = {
            **os.environ,
            "RECONCILER_VAR": str(self.var),
            "RECONCILER_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "RECONCILER_SCHEDULED_SWEEPS": "false",
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "PYTHONUNBUFFERED": "1",
        }
        self.site: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.digests: list[dict[str, str]] = []
        self.started = time.monotonic()

    def play(self) -> int:
        """Play everything; return the exit code: 0 when every scene came out as expected."""
        say = self._say
        # Told to end, it ends what it started too: the next run would meet the old workers.
        signal.signal(signal.SIGTERM, _leave)
        say("Making a fresh installation in var/demo")
        clear(self.var)
        if database := make_database(self.env.pop("DATABASE_URL", "")):
            self.env["DATABASE_URL"] = database.url
            say(f"Its database is {database.name} on the PostgreSQL of DATABASE_URL")
        (self.var / "host").mkdir(parents=True)
        (self.var / "work").mkdir()
        self._manage("migrate", "--verbosity", "0")
        password = secrets.token_urlsafe(9)
        self._make_login(password)
        host = GitHost(self.var / "host")
        host.start()
        try:
            say("Building two real repositories behind git's own http-backend")
            payments = self._repository(host, "acme/payments", build_payments)
            portal = self._repository(host, "acme/portal", build_portal)
            say("Governing them: first snapshots, webhook sources, a policy")
            self._connect(payments, "github", repository_id=101)
            self._connect(portal, "gitea", repository_id=102)
            self._publish_policy()
            token = self._json(
                "api_token", "create", "--name", "demo", "--tenant", "acme", "--scope", "admin"
            )["token"]
            say("Starting web server and worker")
            self._start_site()
            api = Api(f"http://127.0.0.1:{self.port}", token)
            self._wait_until_ready()
            scenes = self._play_scenes(Stage(payments, portal, api))
            return self._conclude(scenes, password, payments)
        finally:
            self._stop_site()
            host.stop()

    def _play_scenes(self, stage: Stage) -> list[Scene]:
        scenes = [*pushes(), *leases(), *found_by_sweep()]
        for scene in pushes_of(scenes):
            self._say(f"{scene.repository}: {scene.title}")
            if scene.prepare is not None:
                scene.prepare(stage)
            scene.at = _now()
            scene.play(stage)
            self._await(scene, stage.api)
        for scene in found_by_sweep_of(scenes):
            self._say(f"{scene.repository}: {scene.title}")
            scene.at = _now()
            scene.play(stage)
        self._say("Sweeping acme/main")
        self._sweep("acme/main", "--all")
        for scene in found_by_sweep_of(scenes):
            self._await(scene, stage.api)
        # No sweep before this one: it would find a sign of life of the run that dies.
        self._hold_leases(stage)
        time.sleep(HEARTBEAT_SECONDS + 1)
        self._say("Sweeping the leases that run out")
        for scene in leases_of(scenes):
            scene.at = _now()
        self._sweep("acme/main/portal")
        for scene in leases_of(scenes):
            self._say(f"{scene.repository}: {scene.title}")
            self._await(scene, stage.api)
        self._alive.set()
        return scenes

    def _hold_leases(self, stage: Stage) -> None:
        self._say("portal: two agents take leases; one of them will die")
        branches = {
            "checkout": "reach/checkout/20250317",
            "reports": "reach/reports/20250318",
        }
        for name, branch in branches.items():
            stage.api.post(
                "leases",
                repo="portal",
                scope="branch-level",
                branch=branch,
                lease_id=f"lease-{name}",
                owner={"user_id": "carol", "agent_id": f"agent-{name}"},
                ttl_seconds=LEASE_SECONDS,
            )
            stage.api.post(
                "runs",
                repo="portal",
                branch=branch,
                run_id=f"run-{name}",
                base_sha=stage.portal.head(branch),
                actor="carol",
                lease_id=f"lease-{name}",
            )
        self._alive = threading.Event()

        def live() -> None:
            while not self._alive.wait(1.0):
                # One that is lost on a busy machine is made up for by the next.
                with suppress(OSError, ApiProblem):
                    stage.api.post("runs/run-checkout/heartbeat", repo="portal")

        threading.Thread(target=live, name="living-agent", daemon=True).start()

    def _await(self, scene: Scene, api: Api) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            scene.result = row_of(scene, api)
            if scene.result.get("seconds") is not None or time.monotonic() > deadline:
                return
            time.sleep(0.1)

    def _sweep(self, *arguments: str) -> None:
        told = self._json("sweep", *arguments)
        self.digests.append({"scope": told["scope"], "digest": told["digest"]})

    def _conclude(self, scenes: Sequence[Scene], password: str, clone: Clone) -> int:
        print_table(scenes)
        written = document(scenes, self.digests)
        if self.json_path is not None:
            self.json_path.write_text(
                json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        wrong = differences(scenes)
        for line in wrong:
            print(f"DIFFERENT  {line}", flush=True)
        pace = written["push_to_decision_seconds"]
        print(
            f"\n{len(scenes) - len(wrong)} of {len(scenes)} scenes came out as expected;"
            f" push to decision: median {pace['median']} s, longest {pace['max']} s"
            f" (whole demonstration: {time.monotonic() - self.started:.0f} s)",
            flush=True,
        )
        print(f"\n    http://127.0.0.1:{self.port}/    login admin / {password}\n", flush=True)
        if not self.once:
            self._stay_up(clone)
        return 1 if wrong else 0

    def _stay_up(self, clone: Clone) -> None:
        clone.hand_over(branch="develop", to_user="you")
        print(
            "The site stays up until Ctrl-C. Push something yourself and watch it:\n\n"
            f"    cd {clone.work}\n"
            "    git commit --allow-empty -m 'Mine' && git push\n",
            flush=True,
        )
        # From here on the product sweeps by itself, as everywhere else.
        self.env["RECONCILER_SCHEDULED_SWEEPS"] = "true"
        if self.worker is not None:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(timeout=PATIENCE_SECONDS)
        self.worker = self._start("reconcile_worker")
        try:
            if self.site is not None:
                self.site.wait()
        except KeyboardInterrupt:
            print("Stopping.", flush=True)

    def _repository(self, host: GitHost, full_name: str, build: Any) -> Clone:
        clone = Clone(
            self.var / "host", self.var / "work", full_name, f"{host.url}/{full_name}.git"
        )
        build(clone)
        clone.install_hook()
        return clone

    def _connect(self, clone: Clone, dialect: str, *, repository_id: int) -> None:
        told = self._json(
            "connect_repository",
            clone.url,
            "--tenant",
            "acme",
            "--workspace",
            "main",
            "--host",
            dialect,
        )
        (clone.bare / "webhook.json").write_text(
            json.dumps(
                {
                    "url": told["webhook_url"],
                    "secret": told["secret"],
                    "dialect": dialect,
                    "repository_id": str(repository_id),
                    "full_name": clone.full_name,
                    "clone_url": clone.url,
                    "default_branch": "main",
                }
            ),
            encoding="utf-8",
        )

    def _publish_policy(self) -> None:
        path = self.var / "policy.yaml"
        path.write_text(POLICY, encoding="utf-8")
        self._json(
            "policy",
            "publish",
            str(path),
            "--layer",
            "workspace",
            "--target",
            "acme/main",
            "--reason",
            "Short times, so that the demonstration is over soon",
        )

    def _make_login(self, password: str) -> None:
        self._run(
            "createsuperuser",
            "--noinput",
            "--username",
            "admin",
            "--email",
            "admin@acme.example",
            env={**self.env, "DJANGO_SUPERUSER_PASSWORD": password},
        )

    def _start_site(self) -> None:
        self.site = self._start("run_site", "--no-worker", "--port", str(self.port))
        self.worker = self._start("reconcile_worker")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.var / "site.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _stop_site(self) -> None:
        running = [one for one in (self.worker, self.site) if one and one.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        url = f"http://127.0.0.1:{self.port}/readyz"
        told = ""
        while time.monotonic() < deadline:
            if self.site is not None and self.site.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    answer.read()
                    return
            except urllib.error.HTTPError as error:
                told = error.read().decode(errors="replace")
            except OSError as error:
                told = str(error)
            time.sleep(0.1)
        log = (self.var / "site.log").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"The site did not become ready: {told}\n{log[-3000:]}")

    def _json(self, *arguments: str) -> Any:
        return json.loads(self._manage(*arguments, "--json"))

    def _manage(self, *arguments: str) -> str:
        return self._run(*arguments, env=self.env)

    def _run(self, *arguments: str, env: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(
                f"manage.py {' '.join(arguments)} failed:\n{(done.stderr + done.stdout)[-3000:]}"
            )
        return done.stdout

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)


def pushes_of(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes that a webhook announces."""
    return [scene for scene in scenes if scene.expected.found_by == "webhook"]


def leases_of(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes about leases."""
    return [scene for scene in scenes if scene.expected.check == "lease_renewal"]


def found_by_sweep_of(scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes that the sweep finds, but for the leases."""
    return [
        scene
        for scene in scenes
        if scene.expected.found_by == "sweep" and scene.expected.check != "lease_renewal"
    ]


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _chosen_port(port: int | None) -> int:
    """Return the port that was asked for; without one the usual one, or any that is free."""
    if port is None:
        return DEFAULT_PORT if _is_free(DEFAULT_PORT) else _free_port()
    if not 1 <= port <= 65535:
        raise SystemExit(f"{port} is no port: give one from 1 to 65535.")
    if not _is_free(port):
        raise SystemExit(f"Port {port} is in use: give another, or none to have a free one chosen.")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
