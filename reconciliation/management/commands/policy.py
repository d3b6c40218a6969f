"""Policy as code: validates, publishes, explains and imports policy documents.

    manage.py policy validate FILE                               the text alone
    manage.py policy validate FILE --layer tenant --target acme  also floors above, and changes
    manage.py policy publish FILE --layer tenant --target acme --reason "agreed in March"
    manage.py policy publish FILE --layer branch --target acme/main/api --branch-pattern 'rel/**' …
    manage.py policy explain acme/main/api@main                   which layer set each value
    manage.py policy keys                                         every key there is
    manage.py policy rules                                        every rule there is
    manage.py policy import reach.workspace.json [more files]     Reach's files, as a policy
    manage.py policy import FILE --publish --target acme/main --reason "taken over from Reach"

FILE `-` is standard input. With --json one JSON document is printed.

Exit code 0: done; warnings do not hinder. 1: the document is refused; each problem is told as
file:line:column. 2: no such file, place or person, or a bad reason. 3: a floor would be loosened
and nobody else approved. 4: another version is in force than --expected-version.
"""

import argparse
import getpass
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import yaml
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from audit.domain.entries import Actor, ActorKind
from governance.domain.manifest import Imported, NotAManifest, combined, import_manifest
from governance.domain.policy_source import Unreadable
from governance.domain.policy_text import (
    PolicyProblem,
    PolicyText,
    check_policy,
    problem_of_text,
    problems_of,
    read_source,
)
from governance.selectors.policies import explain
from governance.selectors.policy_places import NoSuchPlace, policy_place
from governance.services.policy_approval import NotAnApprover, approver_by_name
from governance.services.policy_planning import PolicyRefused, plan_version
from governance.services.policy_publishing import (
    ApprovalNeeded,
    BadReason,
    PolicyChangedMeanwhile,
)
from governance.services.policy_reports import (
    explanation_values,
    plan_values,
    problem_values,
    published_values,
)
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.management.policy_arguments import ARGUMENTS
from reconciliation.management.policy_files import (
    CHANGED_MEANWHILE,
    NOT_APPROVED,
    NOT_POSSIBLE,
    REFUSED,
    content_of,
    name_of,
    place_of,
    read_draft,
)
from reconciliation.management.policy_output import (
    explanation_lines,
    import_lines,
    import_values,
    key_table,
    key_values,
    plan_lines,
    rollout_lines,
    rule_table,
    rule_values,
)
from reconciliation.models import Origin
from reconciliation.services.policy_rollout import Rollout, publish_policy


class Command(BaseCommand):
    """Validate, publish, explain and import policies."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the acts and their options."""
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        for name, what in (
            ("validate", "say what is wrong with a document, and what it would change"),
            ("publish", "publish the next version of a layer"),
            ("explain", "say which layer set each value in force"),
            ("import", "turn Reach's own files into a policy"),
            ("keys", "list every key with its range, unit, default and tightening"),
            ("rules", "list every rule with its check and its built-in weight"),
        ):
            act = acts.add_parser(name, help=what)
            # Also after the act, where people write it; unset there it must not undo the first.
            act.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
            ARGUMENTS[name](act)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked for."""
        self.as_json: bool = options["json"]
        with correlated(new_correlation_id()) as correlation_id:
            options["correlation_id"] = correlation_id
            try:
                getattr(self, f"_{options['act']}")(options)
            except (NoSuchPlace, NotAnApprover, BadReason, NotAManifest) as error:
                raise CommandError(str(error), returncode=NOT_POSSIBLE) from error
            except (PolicyRefused, _Refused) as refused:
                self._refuse(refused.problems)

    def _validate(self, options: Mapping[str, Any]) -> None:
        layer = options["layer"]
        text = read_draft(options["file"], layer=layer or "site")
        if layer == "site" or options["target"]:
            plan = plan_version(text, place=place_of(options))
            self._tell(plan_values(plan), plan_lines(plan))
            self._warn(plan.warnings)
            return
        if not text.is_valid:
            raise _Refused(text.problems)
        self._tell({"warnings": problem_values(text.problems)}, [f"{text.file}: valid"])
        self._warn(text.problems)

    def _publish(self, options: Mapping[str, Any]) -> None:
        text = read_draft(options["file"], layer=options["layer"])
        self._tell_published(self._store(text, options, manifest=None), {}, [])

    def _explain(self, options: Mapping[str, Any]) -> None:
        target, _, branch = str(options["target"]).partition("@")
        place = policy_place(layer="repository", target=target)
        assert place.repository is not None  # noqa: S101 - a repository layer has one
        explanation = explain(place.repository.pk, branch)
        values = {"target": target, "branch": branch, **explanation_values(explanation)}
        name = f"{target}{f' @{branch}' if branch else ''}"
        self._tell(values, explanation_lines(explanation, name=name))

    def _import(self, options: Mapping[str, Any]) -> None:
        read = {name: _read_manifest(name) for name in options["file"]}
        document, disagreed = combined([imported for _, imported in read.values()])
        if disagreed:
            message = f"The files disagree on {', '.join(disagreed)}: import them one by one."
            raise CommandError(message, returncode=NOT_POSSIBLE)
        files = [import_values(name, one) for name, (_, one) in read.items()]
        lines = [line for name, (_, one) in read.items() for line in import_lines(name, one)]
        if not options["publish"]:
            lines.append(yaml.safe_dump(document, allow_unicode=True, sort_keys=True).rstrip())
            self._tell({"document": document, "files": files}, lines)
            return
        manifests = [value for value, one in read.values() if one.what == "workspace manifest"]
        is_carried = options["layer"] == "workspace" and len(manifests) == 1
        rollout = self._store(
            check_policy(document, layer=options["layer"], rules=RULE_WEIGHTS),
            options,
            manifest=manifests[0] if is_carried else None,
        )
        self._tell_published(rollout, {"files": files}, lines)

    def _keys(self, options: Mapping[str, Any]) -> None:
        self._tell({"keys": key_values()}, key_table())

    def _rules(self, options: Mapping[str, Any]) -> None:
        self._tell({"rules": rule_values()}, rule_table())

    def _store(
        self, text: PolicyText, options: Mapping[str, Any], *, manifest: Mapping[str, Any] | None
    ) -> Rollout:
        place = place_of(options)
        approver = options["approved_by"]
        try:
            return publish_policy(
                text,
                place=place,
                author=Actor(ActorKind.USER, options["author"] or _who()),
                approved_by=approver_by_name(approver, tenant=place.tenant_slug)
                if approver
                else None,
                reason=options["reason"],
                expected_version=options["expected_version"],
                manifest=manifest,
                origin=Origin.MANUAL,
                correlation_id=options["correlation_id"],
                now=timezone.now(),
            )
        except ApprovalNeeded as needed:
            message = f"{needed} Name them with --approved-by."
            raise CommandError(message, returncode=NOT_APPROVED) from needed
        except PolicyChangedMeanwhile as changed:
            raise CommandError(str(changed), returncode=CHANGED_MEANWHILE) from changed

    def _tell_published(
        self, rollout: Rollout, more: Mapping[str, Any], lines: Iterable[str]
    ) -> None:
        published = rollout.published
        self._tell(
            {**published_values(published), "rollout": rollout.numbers, **more},
            [*lines, *plan_lines(published.plan), *rollout_lines(rollout)],
        )
        self._warn(published.plan.warnings)

    def _tell(self, values: Mapping[str, Any], lines: Iterable[str]) -> None:
        if self.as_json:
            self.stdout.write(json.dumps(values, ensure_ascii=False, indent=1))
            return
        for line in lines:
            self.stdout.write(line)

    def _warn(self, problems: Iterable[PolicyProblem]) -> None:
        for problem in problems:
            self.stderr.write(str(problem))

    def _refuse(self, problems: tuple[PolicyProblem, ...]) -> NoReturn:
        if self.as_json:
            self._tell({"problems": problem_values(problems)}, [])
        else:
            self._warn(problems)
        sys.exit(REFUSED)


class _Refused(Exception):
    """The text cannot be used; `problems` say why."""

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__()
        self.problems = problems


def _read_manifest(file: str) -> tuple[Any, Imported]:
    try:
        source = read_source(content_of(file), file=name_of(file))
    except Unreadable as error:
        raise _Refused((problem_of_text(error, file=name_of(file)),)) from error
    imported = import_manifest(source.value)
    problems = problems_of(imported.faults, file=name_of(file), source=source)
    if problems or source.faults:
        repeated = [fault for fault, _ in source.faults]
        raise _Refused((*problems_of(repeated, file=name_of(file), source=source), *problems))
    return source.value, imported


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # An account without a name, as containers have them.
        return "shell"
