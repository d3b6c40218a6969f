"""Keeps the second person of a policy version beside its author.

The database fills the column by itself, so that code which does not know it may still publish.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0002_find_running_runs_by_lease"),
    ]

    operations = [
        migrations.AddField(
            model_name="policyversion",
            name="approved_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The second person, who is needed to loosen a floor.",
                max_length=200,
            ),
        ),
    ]
