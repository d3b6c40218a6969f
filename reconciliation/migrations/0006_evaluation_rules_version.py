"""Adds the number of the rules to decisions; those made before it was there were made by the first."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0005_drop_indexes_that_others_cover")]

    operations = [
        migrations.AddField(
            model_name="evaluation",
            name="rules_version",
            field=models.PositiveSmallIntegerField(
                db_default=1, help_text="Number of the rules of its kind that made it."
            ),
        ),
    ]
