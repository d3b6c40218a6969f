"""Counts how often people requeued a dead letter, so that nobody does so for ever."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0003_measured_totals"),
    ]

    operations = [
        migrations.AddField(
            model_name="reconciliationtask",
            name="requeues",
            field=models.PositiveSmallIntegerField(
                db_default=0,
                help_text="How often people requeued it since it last completed.",
            ),
        ),
    ]
