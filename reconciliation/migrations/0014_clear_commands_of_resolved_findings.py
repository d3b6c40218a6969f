"""Takes the commands of resolved findings away: they were for states that are over."""

from typing import Any

from django.db import migrations


def clear(apps: Any, schema_editor: Any) -> None:
    resolved = apps.get_model("reconciliation", "Finding").objects.filter(state="resolved")
    resolved.exclude(command="").update(
        command="", recommendation="Nothing to do: this was resolved."
    )


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0013_bind_snoozes_and_count_reopenings"),
    ]

    operations = [migrations.RunPython(clear, migrations.RunPython.noop)]
