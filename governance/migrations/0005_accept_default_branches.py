"""Keeps the default branch that governance accepted; forgets activity at times that cannot be."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import migrations, models
from django.db.models.functions import Now


def accept_what_is_there(apps: Any, schema_editor: Any) -> None:
    repositories = apps.get_model("governance", "Repository").objects
    repositories.update(governed_default_branch=models.F("default_branch"))


def forget_impossible_activity(apps: Any, schema_editor: Any) -> None:
    cannot_be = models.Q(last_activity_at__lt=datetime(1971, 1, 1, tzinfo=UTC)) | models.Q(
        last_activity_at__gt=Now() + timedelta(days=1)
    )
    branches = apps.get_model("governance", "Branch").objects
    branches.filter(cannot_be).update(last_activity_at=None)


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0004_keep_pushes_of_a_drift"),
    ]

    operations = [
        migrations.AddField(
            model_name="repository",
            name="governed_default_branch",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text=(
                    "The default branch that governance last accepted; empty: none was known yet."
                ),
            ),
        ),
        migrations.AlterField(
            model_name="repository",
            name="default_branch",
            field=models.TextField(blank=True, help_text="Where HEAD points now."),
        ),
        migrations.AlterField(
            model_name="branch",
            name="branch_class",
            field=models.CharField(
                choices=[
                    ("default", "Default"),
                    ("protected", "Protected"),
                    ("governed", "Governed"),
                    ("other", "Other"),
                ],
                default="other",
                help_text=(
                    "While the heads differ, at least the one it had when they last agreed."
                ),
                max_length=10,
            ),
        ),
        migrations.RunPython(accept_what_is_there, migrations.RunPython.noop),
        migrations.RunPython(forget_impossible_activity, migrations.RunPython.noop),
    ]
