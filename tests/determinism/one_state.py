"""Builds the world of `state` in a database of its own, reconciles it, and prints what it left.

    python -m tests.determinism.one_state --order 3 --workers 4 --batch 1

Run as a process of its own, so that hash seed, locale, time zone, Python and database differ.
"""

import argparse
import hashlib
import os
import sys
from random import Random


def main() -> int:
    """Print the SHA-256 of what was left behind, then all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", type=int, default=0, help="seed of the order of insertion")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=50)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    name_before = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["NAME"] = f"one_state_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        from tests.determinism.state import build_state, left_behind, reconcile

        remote = build_state(Random(options.order))
        reconcile(remote, workers=options.workers, batch=options.batch)
        text = left_behind()
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    # Bytes, so that no locale has a say in how they are written.
    digest = hashlib.sha256(text.encode()).hexdigest()
    sys.stdout.buffer.write(f"{digest}\n{text}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
