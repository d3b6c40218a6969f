"""Drops indexes on foreign keys that lead another index: every one of them is written per task."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0003_policy_version_approved_by"),
        ("reconciliation", "0004_count_requeues"),
    ]

    operations = [
        migrations.AlterField(
            model_name="reconciliationtask",
            name="repository",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tasks",
                to="governance.repository",
            ),
        ),
        migrations.AlterField(
            model_name="reconciliationtask",
            name="sweep",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="tasks",
                to="reconciliation.sweep",
            ),
        ),
        migrations.AlterField(
            model_name="taskattempt",
            name="task",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempt_rows",
                to="reconciliation.reconciliationtask",
            ),
        ),
    ]
