"""Gives branches that are protected by their names from now on that class."""

import re
from typing import Any

from django.db import migrations

_NAMES = re.compile(
    r"(?:release|releases|hotfix|stable)(?:/.*)?|release-[0-9][^/]*|stable[^/]*|[^/]*-stable",
    re.DOTALL,
)


def protect(apps: Any, schema_editor: Any) -> None:
    branches = apps.get_model("governance", "Branch").objects.filter(
        branch_class__in=("governed", "other")
    )
    found = [pk for pk, name in branches.values_list("pk", "name") if _NAMES.fullmatch(name)]
    for start in range(0, len(found), 500):
        branches.filter(pk__in=found[start : start + 500]).update(branch_class="protected")


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0006_aliases_and_actors_of_tokens"),
    ]

    operations = [migrations.RunPython(protect, migrations.RunPython.noop)]
