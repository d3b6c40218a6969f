"""A load generator in a process of its own: keep-alive connections, signed pushes, real sizes.

    python -m tests.benchmarks.loader PORT PATH SECRET SECONDS CONNECTIONS START [repeat]

Bodies are made before the clock starts. Prints one JSON line: answers by status, requests per
second, latencies. `repeat` sends the same delivery ids over and over: all but the first duplicates.
"""

import hashlib
import hmac
import http.client
import json
import sys
import threading
import time
from collections import Counter
from typing import Any

COMMITS = 4
PREPARED = 1500


def push(number: int) -> bytes:
    """Return a push of about 9 kB, the size of a real one with four commits."""
    after = f"{number:040x}"
    commits = [
        {
            "id": f"{number * 10 + index:040x}",
            "message": f"Change number {number}.{index}\n\n" + "Because it was needed. " * 20,
            "timestamp": "2026-03-02T12:00:00Z",
            "url": f"https://git.example/acme/api/commit/{number:040x}",
            "author": {"name": "Alice Example", "email": "alice@acme.example"},
            "committer": {"name": "Alice Example", "email": "alice@acme.example"},
            "added": [f"src/module_{index}/file_{part}.py" for part in range(8)],
            "modified": [f"src/module_{index}/changed_{part}.py" for part in range(12)],
            "removed": [],
        }
        for index in range(COMMITS)
    ]
    repository = {f"{name}_url": f"https://git.example/api/{name}" for name in range(40)}
    document = {
        "ref": f"refs/heads/topic-{number % 200}",
        "before": f"{number - 1:040x}" if number else "0" * 40,
        "after": after,
        "created": False,
        "deleted": False,
        "forced": False,
        "commits": commits,
        "head_commit": commits[-1],
        "repository": {
            **repository,
            "id": 7,
            "full_name": "acme/api",
            "clone_url": "https://git.example/acme/api.git",
            "default_branch": "main",
        },
        "pusher": {"name": "alice", "email": "alice@acme.example"},
        "sender": {"login": "alice", "id": 1},
    }
    return json.dumps(document).encode()


def prepared(secret: str, start: int) -> list[tuple[bytes, dict[str, str]]]:
    """Return signed requests with delivery ids of their own."""
    requests = []
    for number in range(start, start + PREPARED):
        body = push(number)
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        requests.append(
            (
                body,
                {
                    "Content-Type": "application/json",
                    "X-GitHub-Event": "push",
                    "X-GitHub-Delivery": f"00000000-0000-4000-8000-{number:012d}",
                    "X-Hub-Signature-256": f"sha256={digest}",
                },
            )
        )
    return requests


def load(
    port: int, path: str, secret: str, *, seconds: float, connections: int, start: int, repeat: bool
) -> dict[str, Any]:
    """Send for `seconds` over `connections` and return what came back."""
    requests = prepared(secret, start)
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    lock = threading.Lock()
    cursor = iter(range(10**9))
    deadline = time.monotonic() + seconds

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        mine: list[tuple[int, float]] = []
        while time.monotonic() < deadline:
            with lock:
                number = next(cursor)
            if number >= len(requests) and not repeat:
                break
            body, headers = requests[number % len(requests)]
            began = time.perf_counter()
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
            mine.append((answer.status, time.perf_counter() - began))
        connection.close()
        with lock:
            statuses.update(status for status, _ in mine)
            latencies.extend(took for _, took in mine)

    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    latencies.sort()
    return {
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "per_second": len(latencies) / took,
        "p50_ms": latencies[len(latencies) // 2] * 1000 if latencies else None,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else None,
        "body_bytes": len(requests[0][0]),
        "sent": len(latencies),
    }


def main() -> None:
    """Run from the command line."""
    port, path, secret, seconds, connections, start, *rest = sys.argv[1:]
    told = load(
        int(port),
        path,
        secret,
        seconds=float(seconds),
        connections=int(connections),
        start=int(start),
        repeat=rest == ["repeat"],
    )
    print(json.dumps(told))


if __name__ == "__main__":
    main()
