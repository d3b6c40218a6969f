"""procrastinate as its manual has it, with a task that does nothing; runs in the rivals' Python.

    procrastinate --app tests.benchmarks.rival_procrastinate.app worker
    python -m tests.benchmarks.rival_procrastinate 2000

Both on the database that RIVAL_DATABASE names. The second defers so many jobs in one transaction,
waits until the workers did them and prints how many a second that were.
"""

import os
import sys
import time

import procrastinate  # type: ignore[import-not-found]  # in the rivals' environment only

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=os.environ["RIVAL_DATABASE"], min_size=2, max_size=10
    )
)


async def nothing(number: int) -> int:
    """Do nothing."""
    return number


job = app.task(name="nothing", queue="bench")(nothing)
_WAITING = "SELECT COUNT(*) AS n FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
_DEADLINE_SECONDS = 300


def main() -> None:
    """Defer, wait, print jobs a second."""
    count = int(sys.argv[1])
    connector = procrastinate.SyncPsycopgConnector(conninfo=os.environ["RIVAL_DATABASE"])
    with app.replace_connector(connector), app.open():
        job.batch_defer(*({"number": number} for number in range(count)))
        # Else statistics of an empty table may have it looked through for every job.
        connector.execute_query("ANALYZE procrastinate_jobs")
        started = time.perf_counter()
        while connector.execute_query_one(_WAITING)["n"]:
            if time.perf_counter() - started > _DEADLINE_SECONDS:
                sys.exit("procrastinate: the jobs were not done within five minutes")
            time.sleep(0.02)
        print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
