"""Deliveries per second of the whole receiver, against the least that a receiver must do.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.webhook_intake
    … --server gunicorn        compare under another server, without the edge

Ours runs as it ships: Granian's event loop, the edge, threads. The references run under Granian's
own threads for WSGI, which is the least a server can cost, on the same durable PostgreSQL. They
take turns in slices under load from a second process. The figure is the median of the ratios of
neighbours. Each slice of ours ends with the queue worked off (the observation marked completed), so
that deliveries plan tasks as they do under a running worker.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

PAIRS = 8
SLICE_SECONDS = 2.0
CONNECTIONS = 8
SITE = "reconciler_site.wsgi:application"
TARGETS = {"webhook_intake_vs_orm": 1.1, "webhook_intake_vs_one_statement": 0.65}


def main() -> int:
    """Measure, print one JSON line for each ratio, and return 0 when all targets were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=("granian", "gunicorn"), default="granian")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    if "DATABASE_URL" not in os.environ:
        sys.exit("webhook_intake: run it through scripts.throwaway_postgres --durable")
    _refuse_a_careless_server()
    secret = "bench"
    path = _prepare(secret)
    ours, theirs = _free_port(), _free_port()
    servers = [
        _serve("shipped" if options.server == "granian" else options.server, SITE, ours),
        _serve(options.server, "tests.benchmarks.minimal_site:application", theirs),
    ]
    try:
        for port in (ours, theirs):
            _wait_for(port)
        results = _measure(ours, theirs, path, secret, pairs=options.pairs)
    finally:
        for server in servers:
            os.killpg(server.pid, signal.SIGTERM)
        for server in servers:
            server.wait(timeout=30)
    for result in results:
        result["raw"]["server"] = options.server
        print(json.dumps(result), flush=True)
    return 0 if all(result["met"] for result in results) else 1


def _measure(ours: int, theirs: int, path: str, secret: str, *, pairs: int) -> list[dict[str, Any]]:
    rates: dict[str, list[float]] = {"ours": [], "orm": [], "sql": [], "duplicates": []}
    tails: dict[str, list[float]] = {"ours": [], "orm": [], "sql": [], "duplicates": []}
    start = 1
    for number in range(pairs + 1):
        if number == 1:
            # As autovacuum does within a minute: plans for empty tables fit no full ones.
            _analyze()
        for side, port, where, repeat in (
            ("ours", ours, path, False),
            ("orm", theirs, "/orm/", False),
            ("duplicates", ours, path, True),
            ("sql", theirs, "/sql/", False),
        ):
            first = start - 1500 if repeat else start
            told = _load(port, where, secret, start=max(1, first), repeat=repeat)
            if set(told["statuses"]) != {"202"}:
                sys.exit(f"webhook_intake: {side} answered {told['statuses']}")
            rates[side].append(told["per_second"])
            tails[side].append(told["p99_ms"])
            start += 1500 if not repeat else 0
            _work_off()
    for series in (*rates.values(), *tails.values()):
        del series[0]  # the first round warms up
    shown = {
        side: {
            "per_second": round(statistics.median(rates[side])),
            "p99_ms": round(statistics.median(tails[side]), 1),
        }
        for side in rates
    }
    results = []
    for name, reference, side in (
        ("webhook_intake_vs_orm", "orm", "ours"),
        ("webhook_intake_vs_one_statement", "sql", "ours"),
        ("webhook_duplicates_vs_new", "ours", "duplicates"),
    ):
        ratios = [a / b for a, b in zip(rates[side], rates[reference], strict=True)]
        target = TARGETS.get(name, 1.0)
        ratio = statistics.median(ratios)
        results.append(
            {
                "name": name,
                "ratio": round(ratio, 2),
                "target": target,
                "met": ratio >= target,
                "raw": {
                    "pairs": [round(value, 2) for value in sorted(ratios)],
                    "rates": shown,
                    "connections": CONNECTIONS,
                    "slice_seconds": SLICE_SECONDS,
                },
            }
        )
    return results


def _load(port: int, path: str, secret: str, *, start: int, repeat: bool) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.benchmarks.loader",
            str(port),
            path,
            secret,
            str(SLICE_SECONDS),
            str(CONNECTIONS),
            str(start),
            *(["repeat"] if repeat else []),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _prepare(secret: str) -> str:
    os.environ["DJANGO_SETTINGS_MODULE"] = "reconciler_site.settings.dev"
    os.environ["BENCH_SECRET"] = secret
    os.environ["RECONCILER_LOG_LEVEL"] = "WARNING"
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from audit.domain.entries import RECONCILER
    from reconciliation.services.sources import create_source
    from tests.factories.governance import RepositoryFactory

    call_command("migrate", verbosity=0)
    repository = RepositoryFactory.create(host_kind="github", host_repository_id="7")
    source = create_source(
        tenant_id=repository.tenant_id,
        tenant=repository.tenant.slug,
        repository_id=repository.pk,
        host_kind="github",
        name="bench",
        token=secrets.token_urlsafe(32),
        secret=secret,
        actor=RECONCILER,
        correlation_id="benchmark",
        now=timezone.now(),
    )
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from tests.benchmarks.minimal_site import make_tables; make_tables()",
        ],
        check=True,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
    )
    return f"/api/v1/webhooks/{source.token}"


def _work_off() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE reconciliation_reconciliationtask SET state = 'completed'"
            " WHERE state = 'queued'"
        )
        # As an observation's end does it: what was applied is a duplicate from then on.
        cursor.execute(
            "UPDATE reconciliation_webhookdelivery SET applied_at = now() WHERE applied_at IS NULL"
        )
        cursor.execute("DELETE FROM django_q_ormq")


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _refuse_a_careless_server() -> None:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"]) as probe:
        for setting in ("fsync", "synchronous_commit"):
            row = probe.execute(f"SHOW {setting}").fetchone()
            if row != ("on",):
                sys.exit(f"webhook_intake: {setting} is off; use throwaway_postgres --durable")


def _serve(server: str, application: str, port: int) -> subprocess.Popen[bytes]:
    granian = (
        *("granian", "--http", "1", "--no-ws", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "2", "--log-level", "warning"),
    )
    commands = {
        "shipped": [
            *(*granian, "--interface", "asgi", "--backpressure", "8192"),
            "reconciler_site.asgi:application",
        ],
        "granian": [
            *(*granian, "--interface", "wsgi", "--blocking-threads", "4", "--backpressure", "64"),
            application,
        ],
        "gunicorn": [
            *("gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"),
            *("--worker-class", "gthread", "--threads", "4", "--log-level", "warning"),
            application,
        ],
    }
    env = dict(os.environ)
    if "minimal_site" in application:
        env.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.Popen(
        [sys.executable, "-m", *commands[server]], env=env, start_new_session=True
    )


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"webhook_intake: no server at port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
