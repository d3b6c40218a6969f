"""A governed repository whose host speaks: events in, drains, and what is known afterwards."""

import json
from datetime import timedelta
from typing import Any

from governance.models import Branch, Repository
from reconciliation.models import RepositoryWatch, WebhookSource
from reconciliation.services.sources import forget_cached_sources
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import CORRELATION_ID
from tests.factories.webhooks import ZERO, gitea_headers, github_headers, push_body, webhook_source
from tests.functional.loop.test_the_loop import Loop
from tests.functional.webhooks.sending import post

HEADERS = {"github": github_headers, "gitea": gitea_headers}


class Hosted:
    """The loop's repository on a host of one kind."""

    def __init__(self, loop: Loop, host: str) -> None:
        self.loop = loop
        self.host = host
        self.pk = loop.repository.pk
        self.source: WebhookSource = (
            loop.source if host == "github" else webhook_source(loop.repository, host=host)
        )
        self.number = 0

    @property
    def row(self) -> Repository:
        return Repository.objects.get(pk=self.pk)

    @property
    def watch(self) -> RepositoryWatch:
        return RepositoryWatch.objects.get(repository_id=self.pk)

    def branch(self, name: str) -> Branch:
        return Branch.objects.get(repository_id=self.pk, name=name)

    def say(self, event: str, document: dict[str, Any]) -> Any:
        """Send an event as this host signs it."""
        self.number += 1
        body = json.dumps(document).encode()
        headers = HEADERS[self.host](body, event=event, delivery=f"{self.host}-{self.number}")
        return post(self.source, body, headers).json()

    def push(
        self,
        before: str,
        after: str,
        *,
        branch: str = "main",
        name: str = "acme/api",
        pusher: str = "alice",
        **changed: Any,
    ) -> Any:
        """Announce a push; `name` is what the host calls the repository by now."""
        document = json.loads(push_body(branch, before, after, pusher=pusher))
        document["repository"] |= {
            "full_name": name,
            "clone_url": f"https://git.example/{name}.git",
        }
        return self.say("push", document | changed)

    def delete_event(self, branch: str, *, pusher: str = "alice") -> Any:
        """Announce a deletion in the short form."""
        document = {
            "ref": branch,
            "ref_type": "branch",
            "pusher_type": "user",
            "repository": json.loads(push_body(branch, ZERO, ZERO))["repository"],
            "sender": {"login": pusher},
        }
        return self.say("delete", document)

    def repository_event(self, action: str, **members: Any) -> Any:
        """Announce a change of the repository itself."""
        repository = json.loads(push_body("main", ZERO, ZERO))["repository"]
        repository |= {"owner": {"login": "acme"}, "name": "api"}
        document = {"action": action, "repository": repository, "sender": {"login": "ada"}}
        return self.say("repository", document | members)

    def renamed(self, old: str, new: str) -> Any:
        """Announce a rename inside the owner `acme`."""
        repository = json.loads(push_body("main", ZERO, ZERO))["repository"]
        repository |= {"owner": {"login": "acme"}, "name": new, "full_name": f"acme/{new}"}
        return self.repository_event(
            "renamed",
            repository=repository,
            changes={"repository": {"name": {"from": old}}},
        )

    def sweep(self) -> None:
        """Plan a sweep of everything and work it off."""
        self.loop.now += timedelta(minutes=1)
        plan_sweep(
            slot=self.loop.now,
            scope="",
            everything=True,
            trigger="manual",
            budget=Budget(repositories=10, per_tenant=10),
            correlation_id=CORRELATION_ID,
            now=self.loop.now,
        )
        self.loop.settle()

    def settle(self) -> None:
        """Work off what is due; later deliveries see what was learnt."""
        self.loop.settle()
        forget_cached_sources()
