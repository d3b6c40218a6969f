#!/usr/bin/env python3
"""The server-side hook of the demonstration's git host: posts what was pushed as a signed webhook.

Reads `webhook.json` beside the repository's hooks (address, secret, dialect, repository). While a
file named `mute` lies there too, the network is down: the push goes through, the webhook is lost.
Speaks as GitHub does, or as Gitea does (where a deletion is a `delete` event and nothing else).
"""

import hashlib
import hmac
import json
import os
import sys
import urllib.request
import uuid
from pathlib import Path

ZERO = "0" * 40


def main() -> int:
    """Post one delivery for each branch that moved."""
    repository = Path(os.environ.get("GIT_DIR", ".")).resolve()
    config_path = repository / "webhook.json"
    moves = [line.split() for line in sys.stdin.read().splitlines()]
    if not config_path.exists() or (repository / "mute").exists():
        return 0
    config = json.loads(config_path.read_text(encoding="utf-8"))
    pusher = os.environ.get("REMOTE_USER", "somebody")
    for before, after, ref in moves:
        event, payload = announcement(config, before, after, ref, pusher)
        body = json.dumps(payload).encode()
        request = urllib.request.Request(
            config["url"], data=body, headers=headers(config, event, body), method="POST"
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
    return 0


def announcement(
    config: dict[str, str], before: str, after: str, ref: str, pusher: str
) -> tuple[str, dict[str, object]]:
    """Return the event's name and body in the host's own shape."""
    repository = {
        "id": int(config["repository_id"]),
        "full_name": config["full_name"],
        "clone_url": config["clone_url"],
        "default_branch": config["default_branch"],
    }
    sender = {"login": pusher}
    if config["dialect"] == "gitea" and after == ZERO:
        short = ref.removeprefix("refs/heads/")
        return "delete", {
            "ref": short,
            "ref_type": "branch",
            "repository": repository,
            "sender": sender,
        }
    payload: dict[str, object] = {
        "ref": ref,
        "before": before,
        "after": after,
        "repository": repository,
        "pusher": {"name": pusher, "login": pusher},
        "sender": sender,
        "commits": [],
    }
    if config["dialect"] == "github":
        payload |= {"created": before == ZERO, "deleted": after == ZERO, "forced": False}
    return "push", payload


def headers(config: dict[str, str], event: str, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery, signed with the source's secret."""
    digest = hmac.new(config["secret"].encode(), body, hashlib.sha256).hexdigest()
    delivery = str(uuid.uuid4())
    if config["dialect"] == "gitea":
        own = {
            "X-Gitea-Event": event,
            "X-Gitea-Delivery": delivery,
            "X-Gitea-Signature": digest,
        }
    else:
        own = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": f"sha256={digest}",
        }
    return {"Content-Type": "application/json", **own}


if __name__ == "__main__":
    sys.exit(main())
