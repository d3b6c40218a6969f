"""Lets the running runs of a lease be found without reading all runs of a repository."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0001_initial"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="runrecord",
            index=models.Index(
                condition=models.Q(("status", "running")),
                fields=["repository", "lease_id"],
                name="run_by_lease",
            ),
        ),
    ]
