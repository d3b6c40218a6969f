"""django-q2 as its own manual has it: one message for each task, and a result for each message.

Settings for a process of its own, and the function that its messages call. BENCH_QUEUE picks
between `defaults` and `tuned`: fetching 50 messages at once and keeping no results, the fastest
that one message per task gets.

    BENCH_QUEUE=tuned DJANGO_SETTINGS_MODULE=tests.benchmarks.plain_queue manage.py qcluster
    BENCH_QUEUE=tuned DJANGO_SETTINGS_MODULE=… python -m tests.benchmarks.plain_queue 2000
"""

import os
import sys

from reconciler_site.settings.test import *  # noqa: F403

_VARIANT = os.environ.get("BENCH_QUEUE", "tuned")
Q_CLUSTER = {
    "name": f"bench-{_VARIANT}",
    "orm": "default",
    "workers": 2,
    "timeout": 60,
    "retry": 300,
    "scheduler": False,
    "ALT_CLUSTERS": {},
}
if _VARIANT == "tuned":
    Q_CLUSTER |= {"bulk": 50, "queue_limit": 200, "save_limit": -1}


def nothing(number: int) -> int:
    """Do nothing."""
    return number


def main() -> None:
    """Queue so many messages in one transaction."""
    import django

    django.setup()
    from django.db import transaction
    from django_q.tasks import async_task

    with transaction.atomic():
        for number in range(int(sys.argv[1])):
            async_task("tests.benchmarks.plain_queue.nothing", number)


if __name__ == "__main__":
    main()
