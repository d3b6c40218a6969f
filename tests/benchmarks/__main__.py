"""Runs every benchmark, one after the other, and prints one line for each figure.

    make bench              on a PostgreSQL that really writes to disk
    make bench JSON=path    also writes the list of {name, ratio, target, met, raw}

Exit code 0 also when a target is missed: what a machine measures is no test. A benchmark that
fails to run is one line too, and makes the exit code 1.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = (
    "webhook_intake",
    "executor",
    "fairness",
    "latency",
    "sweep_shard",
    "sweep_planner",
    "stale_pass",
    "heads",
    "audit_append",
    "storage",
    "replay",
    "policy_simulation",
    "api_lists",
)
LIMIT_SECONDS = 1800


def main() -> int:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    figures: list[dict[str, Any]] = []
    failed = False
    for name in options.names:
        done = subprocess.run(
            [sys.executable, "-m", f"tests.benchmarks.{name}"],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        lines = done.stdout.splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        # What could not be measured on this machine, and why.
        print("\n".join([*(line for line in lines if not line.startswith("{")), ""]), end="")
        figures += found
        for figure in found:
            verdict = "met" if figure["met"] else "MISSED"
            name_and_ratio = f"{figure['name']:<36} {figure['ratio']:>9}"
            print(f"{name_and_ratio}  target {figure['target']:>6}  {verdict}", flush=True)
        if not found:
            failed = True
            print(f"{name}: did not run: {(done.stderr or done.stdout)[-600:]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
