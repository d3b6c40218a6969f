"""The arguments of the acts of the `policy` command."""

from django.core.management.base import CommandParser

from governance.domain.policy_schema import LAYERS


def _validate_arguments(act: CommandParser) -> None:
    act.add_argument("file", metavar="FILE")
    place_arguments(act, layer="")


def _publish_arguments(act: CommandParser) -> None:
    act.add_argument("file", metavar="FILE")
    place_arguments(act, layer=None)
    _store_arguments(act, is_required=True)


def _explain_arguments(act: CommandParser) -> None:
    act.add_argument("target", metavar="TENANT/WORKSPACE/REPOSITORY[@BRANCH]")


def _import_arguments(act: CommandParser) -> None:
    act.add_argument("file", metavar="FILE", nargs="+")
    act.add_argument("--publish", action="store_true", help="publish what was understood")
    place_arguments(act, layer="workspace")
    _store_arguments(act, is_required=False)


def _keys_arguments(act: CommandParser) -> None:
    act.description = "Every key with its range, unit, default and tightening direction."


def _rules_arguments(act: CommandParser) -> None:
    act.description = "Every rule id with the check it belongs to and its built-in weight."


ARGUMENTS = {
    "validate": _validate_arguments,
    "publish": _publish_arguments,
    "explain": _explain_arguments,
    "import": _import_arguments,
    "keys": _keys_arguments,
    "rules": _rules_arguments,
}


def place_arguments(act: CommandParser, *, layer: str | None) -> None:
    """Declare where a layer lies; without a `layer` to fall back to it must be named."""
    act.add_argument("--layer", choices=LAYERS, default=layer, required=layer is None)
    act.add_argument("--target", default="", help="such as acme/main; nothing for the site")
    act.add_argument("--branch-pattern", default="", help="of a branch layer, such as release/**")


def _store_arguments(act: CommandParser, *, is_required: bool) -> None:
    act.add_argument("--reason", required=is_required, default="", help="10 to 500 characters")
    act.add_argument("--author", default="", help="who decided this; else your account's name")
    act.add_argument("--approved-by", default="", help="user name of the second person, an admin")
    act.add_argument("--expected-version", type=int, help="refuse unless this one is in force")
