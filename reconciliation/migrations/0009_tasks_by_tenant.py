"""Lets a small tenant's tasks be listed without walking through everybody's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0004_keep_pushes_of_a_drift"),
        ("reconciliation", "0008_one_index_for_each_question"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="reconciliationtask",
            index=models.Index(fields=["tenant", "-id"], name="task_of_tenant"),
        ),
    ]
