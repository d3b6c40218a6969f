"""Drops indexes that nobody asks: one for LIKE on task keys, one on what leads another index."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0007_circuits"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="reconciliationtask",
            constraint=models.UniqueConstraint(fields=("idempotency_key",), name="task_once"),
        ),
        migrations.AlterField(
            model_name="reconciliationtask",
            name="idempotency_key",
            field=models.CharField(max_length=64),
        ),
        migrations.AlterField(
            model_name="webhookdelivery",
            name="source",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="reconciliation.webhooksource",
            ),
        ),
    ]
