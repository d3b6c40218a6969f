"""Measure reading all heads of many repositories, against `git ls-remote` on the same server.

Real git serves both sides over smart HTTP from a process of its own. Starting two git processes
per request is most of what one exchange costs there, so a second round lets the server repeat
its answers from memory, which leaves the cost of the client. The sides take turns in
short slices over the same repositories, and the figure is the median of the paired ratios, since
the machine is shared. Each result is one line of JSON: name, ratio, target, met, raw.
Run: python -m tests.benchmarks.heads [--repositories 200] [--pairs 8]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reconciliation.remotes import GitRemote, RemoteTarget
from tests.integration.remotes.hosts import GitHost, Sketch

HEADS = 50
THREADS = 16
SLICE = 40  # repositories per slice

Read = Callable[[str], int]


def main() -> None:
    """Print a line for threads against threads and one for one by one, for either server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heads-") as name:
        folder = Path(name)
        build(folder / "served", repositories=options.repositories)
        for kind, cached in (("", False), (".cached", True)):
            compare(folder, kind, options, cached=cached)


def compare(folder: Path, kind: str, options: argparse.Namespace, *, cached: bool) -> None:
    """Measure both ways of reading against one server, and print a line for each."""
    server, port = serve(folder / "served", cached=cached)
    try:
        urls = [f"http://127.0.0.1:{port}/r{number}.git" for number in range(options.repositories)]
        ours, theirs = our_reader(folder / "mirrors"), their_reader()
        for url in urls:  # capabilities are learnt once per repository, outside the measure
            ours(url)
        for label, threads, target in (("threads", THREADS, 6.0), ("sequential", 1, 10.0)):
            raw = measure(urls, ours, theirs, threads=threads, pairs=options.pairs)
            report(f"heads.{label}{kind}", raw, target=target)
    finally:
        server.terminate()
        server.wait()


def build(folder: Path, *, repositories: int) -> None:
    """Make bare repositories of 50 branches each; the first by hand, the others as copies."""
    first = folder / "r0.git"
    host = GitHost(first, GitRemote(folder), RemoteTarget(str(first), "0"))
    host.add(*(Sketch(f"c{n}", (f"c{n - 1}",) if n else ()) for n in range(HEADS)))
    for number in range(HEADS):
        host.point(f"feature/number-{number:02}", f"c{number}")
    host.point("main", f"c{HEADS - 1}")
    host.drop("feature/number-00")
    subprocess.run(["git", "-C", str(first), "pack-refs", "--all"], check=True)
    for number in range(1, repositories):
        subprocess.run(["cp", "-r", str(first), str(folder / f"r{number}.git")], check=True)


def serve(folder: Path, *, cached: bool) -> tuple[subprocess.Popen[str], int]:
    """Start the server and return it with its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.git_server", str(folder), *(["--cached"] if cached else [])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    if server.stdout is None:
        raise RuntimeError("the server was started without a pipe")
    return server, int(server.stdout.readline())


def our_reader(mirrors: Path) -> Read:
    """Return a reader over one shared `GitRemote`."""
    remote = GitRemote(mirrors)
    return lambda url: len(remote.read_heads(RemoteTarget(url, "1")).heads)


def their_reader() -> Read:
    """Return a reader that runs `git ls-remote`, asked for heads and HEAD, and counts the heads."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def read(url: str) -> int:
        arguments = ["git", "ls-remote", "--symref", url, "HEAD", "refs/heads/*"]
        listing = subprocess.run(arguments, env=environment, capture_output=True, check=True)
        return sum(b"\trefs/heads/" in line for line in listing.stdout.splitlines())

    return read


def measure(
    urls: Sequence[str], ours: Read, theirs: Read, *, threads: int, pairs: int
) -> list[dict[str, float]]:
    """Return milliseconds per repository of both sides, slice by slice, taking turns to begin."""
    raw = []
    with ThreadPoolExecutor(threads) as pool:
        for turn in range(pairs):
            start = turn * SLICE % len(urls)
            piece = [*urls, *urls][start : start + min(SLICE, len(urls))]
            sides = [("ours_ms", ours), ("theirs_ms", theirs)]
            if turn % 2:
                sides.reverse()
            raw.append({name: time_slice(pool, read, piece) for name, read in sides})
    return raw


def time_slice(pool: ThreadPoolExecutor, read: Read, urls: Sequence[str]) -> float:
    """Return milliseconds per repository; every repository must give all its heads."""
    begun = time.perf_counter()
    counts = list(pool.map(read, urls))
    spent = time.perf_counter() - begun
    if counts != [HEADS] * len(urls):
        raise RuntimeError(f"expected {HEADS} heads from each repository, got {set(counts)}")
    return spent / len(urls) * 1000


def report(name: str, raw: Sequence[dict[str, float]], *, target: float) -> None:
    """Print the result as one line of JSON."""
    ratio = statistics.median(pair["theirs_ms"] / pair["ours_ms"] for pair in raw)
    line = {
        "name": name,
        "ratio": round(ratio, 2),
        "target": target,
        "met": ratio >= target,
        "raw": {side: [round(pair[side], 2) for pair in raw] for side in ("ours_ms", "theirs_ms")},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
