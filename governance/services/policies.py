"""Resolves the policies in force over many branches at once, and remembers those decided under."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from audit.setwise import insert_statement, run_together
from governance.domain.policy import Policy, document_text, policy_from_document
from governance.domain.policy_layers import PolicyLayer, merge
from governance.models import EffectivePolicy
from governance.selectors.policies import LayerSet, layer_sets, layer_sets_at


class UnknownRepository(Exception):
    """The resolver was not loaded for this repository, or it does not exist."""


class PolicyResolver:
    """The policies in force over a batch of repositories, as they were when it was loaded.

    Equal layers are merged once, whatever the number of repositories and branches under them.
    """

    def __init__(self, layer_sets_by_repository: Mapping[int, LayerSet]) -> None:
        self._sets = layer_sets_by_repository
        self._policies: dict[tuple[str, ...], Policy] = {}
        self._documents: dict[str, str] = {}

    def for_branch(self, repository_id: int, branch: str) -> Policy:
        """Return the policy over a branch; the empty string is the repository itself.

        Raises:
            UnknownRepository: the repository was not among those loaded.
        """
        layers = self.layers_over(repository_id, branch)
        content = tuple(layer.digest for layer in layers)
        policy = self._policies.get(content)
        if policy is None:
            document = merge(layers).document
            policy = self._policies[content] = policy_from_document(document)
            self._documents[policy.digest] = document_text(document)
        return policy

    def layers_over(self, repository_id: int, branch: str) -> tuple[PolicyLayer, ...]:
        """Return the layers over a branch, least specific first; see `for_branch`."""
        try:
            found = self._sets[repository_id]
        except KeyError:
            raise UnknownRepository(
                f"no policy was loaded for repository {repository_id}"
            ) from None
        return found.over(branch)

    @property
    def documents(self) -> Mapping[str, str]:
        """Return the canonical text, by digest, of every policy this resolver has given so far."""
        return self._documents


def effective_policy(repository_id: int, branch: str) -> Policy:
    """Return the policy over one branch, or over the repository (""); for many, `load_policies`.

    Raises:
        UnknownRepository: there is no such repository.
    """
    return load_policies([repository_id]).for_branch(repository_id, branch)


def load_policies(repository_ids: Sequence[int]) -> PolicyResolver:
    """Return the policies over these repositories; two statements, whatever their number."""
    return PolicyResolver(layer_sets(repository_ids))


def load_policies_at(places: Mapping[int, tuple[int, int]]) -> PolicyResolver:
    """Return the policies over repositories whose (tenant, workspace) is known; one statement."""
    return PolicyResolver(layer_sets_at(places))


def load_policies_with(
    layer: PolicyLayer, repository_ids: Sequence[int]
) -> tuple[PolicyResolver, PolicyResolver]:
    """Return the policies over these repositories as they are, and as they are with `layer`.

    All of the repositories must lie below the layer. Two statements.
    """
    found = layer_sets(repository_ids)
    return (
        PolicyResolver(found),
        PolicyResolver({pk: layers.with_layer(layer) for pk, layers in found.items()}),
    )


def remember_policies(
    policies: Iterable[Policy], *, documents: Mapping[str, str], now: datetime
) -> None:
    """Store each policy once; see `remembering`."""
    used = list(policies)
    if used:
        run_together(connection, remembering(used, documents=documents, now=now))


def remembering(
    policies: Iterable[Policy], *, documents: Mapping[str, str], now: datetime
) -> tuple[str, list[Any]]:
    """Return the statement that stores each policy once, by content, so that decisions replay.

    `documents` is `PolicyResolver.documents` of the resolver that gave the policies. Run it with
    the statement that stores the decisions.

    Raises:
        KeyError: a policy of another resolver.
    """
    digests = sorted({policy.digest for policy in policies})
    return insert_statement(
        connection,
        EffectivePolicy._meta.db_table,
        {"digest": "text", "document": "text", "first_used_at": "timestamptz"},
        [(digest, documents[digest], now) for digest in digests],
        on_conflict="(digest) DO NOTHING",
    )
