"""Counts how often a task went back to the queue without losing an attempt."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0010_host_budgets")]

    operations = [
        migrations.AddField(
            model_name="reconciliationtask",
            name="returns",
            field=models.PositiveSmallIntegerField(
                db_default=0,
                help_text="How often it went back to the queue uncounted in this series; bounded.",
            ),
        ),
        migrations.AlterField(
            model_name="taskattempt",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("completed", "Completed"),
                    ("deferred", "Deferred: not yet time to decide"),
                    ("retry", "Will be retried"),
                    ("dead", "Dead letter"),
                    ("lost", "Claim ran out: the worker died or hung"),
                    ("given_back", "Given back: stopped, or not yet begun"),
                    ("held", "Given back: its host or credential is down"),
                ],
                max_length=10,
            ),
        ),
    ]
