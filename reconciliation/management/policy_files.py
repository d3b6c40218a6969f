"""Reads the files and places that the policy commands are given; an exit code for each refusal."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from governance.domain.policy_text import PolicyText, read_policy
from governance.selectors.policy_places import PolicyPlace, policy_place
from reconciliation.domain.risk import RULE_WEIGHTS

REFUSED, NOT_POSSIBLE, NOT_APPROVED, CHANGED_MEANWHILE = 1, 2, 3, 4


def read_draft(file: str, *, layer: str) -> PolicyText:
    """Return the policy that a file, or standard input (`-`), holds for a layer.

    Raises:
        CommandError: the file cannot be read.
    """
    return read_policy(content_of(file), file=name_of(file), layer=layer, rules=RULE_WEIGHTS)


def content_of(file: str) -> bytes:
    """Return the bytes of a file, or of standard input for `-`.

    Raises:
        CommandError: it cannot be read.
    """
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}."
        raise CommandError(message, returncode=NOT_POSSIBLE) from error


def name_of(file: str) -> str:
    """Return how problems call a file."""
    return "<stdin>" if file == "-" else file


def place_of(options: Mapping[str, Any]) -> PolicyPlace:
    """Return the place that --layer, --target and --branch-pattern name.

    Raises:
        NoSuchPlace: there is none.
    """
    return policy_place(
        layer=options["layer"],
        target=options["target"],
        branch_pattern=options["branch_pattern"],
    )
