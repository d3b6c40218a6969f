"""Celery on Redis as its manual has it, with a task that does nothing; runs in the rivals' Python.

    RIVAL_BROKER=redis://… celery --app tests.benchmarks.rival_celery worker --queues bench
    RIVAL_BROKER=redis://… python -m tests.benchmarks.rival_celery 2000

The second sends so many messages while the workers look away, then has them work these off, and
prints how many a second that were. Acknowledged late: a worker that is killed loses none.
"""

import os
import sys
import time

import redis  # type: ignore[import-not-found]  # in the rivals' environment only
from celery import Celery  # type: ignore[import-not-found]  # in the rivals' environment only

app = Celery("bench", broker=os.environ["RIVAL_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="bench",
    worker_prefetch_multiplier=int(os.environ.get("RIVAL_PREFETCH", "64")),
    broker_connection_retry_on_startup=True,
)


def nothing(number: int) -> int:
    """Do nothing."""
    return number


job = app.task(name="nothing")(nothing)
_DEADLINE_SECONDS = 300


def main() -> None:
    """Send, wait, print tasks a second."""
    count = int(sys.argv[1])
    server = redis.Redis.from_url(os.environ["RIVAL_BROKER"])
    app.control.cancel_consumer("bench", reply=True, timeout=5, limit=1)
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(count):
            job.apply_async((number,), producer=producer)
    started = time.perf_counter()
    app.control.add_consumer("bench")
    while server.llen("bench") or server.hlen("unacked"):
        if time.perf_counter() - started > _DEADLINE_SECONDS:
            sys.exit("celery: the tasks were not done within five minutes")
        time.sleep(0.02)
    print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
