"""The words for dead letters: whose host it was, and what would probably mend it."""

import pytest

from reconciliation.domain.dead_letters import host_of, probable_fix


@pytest.mark.parametrize(
    ("clone_url", "host"),
    [
        ("https://user:pw@Git.Example:8443/acme/api.git", "git.example"),
        ("ssh://git@git.example:2222/acme/api.git", "git.example"),
        ("git@git.example:acme/api.git", "git.example"),
        ("/srv/git/api.git", "local"),
        ("file:///srv/git/api.git", "local"),
    ],
)
def test_the_host_of_a_clone_url(clone_url: str, host: str) -> None:
    assert host_of(clone_url) == host


@pytest.mark.parametrize("code", ["unexpected_KeyError", "no_such_code", "remote_not_found"])
def test_every_cause_has_some_advice(code: str) -> None:
    assert len(probable_fix(code)) > 40
