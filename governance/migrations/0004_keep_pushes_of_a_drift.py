"""Keeps every push of a drift, not the last one only."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0003_policy_version_approved_by"),
    ]

    operations = [
        migrations.AddField(
            model_name="branch",
            name="pushes",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="Every push since the heads last agreed, oldest first.",
            ),
        ),
    ]
