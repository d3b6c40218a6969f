"""Counts calls by host and by sweep, and a sweep's failures; names the host of each repository."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0009_tasks_by_tenant"),
    ]

    operations = [
        migrations.CreateModel(
            name="HostCalls",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("host", models.CharField(max_length=300)),
                ("minute", models.DateTimeField()),
                (
                    "by_sweeps",
                    models.PositiveIntegerField(help_text="What followed from sweeps included."),
                ),
                (
                    "by_others",
                    models.PositiveIntegerField(help_text="For webhooks, the API and people."),
                ),
                (
                    "readings",
                    models.PositiveIntegerField(help_text="Repositories that sweeps read."),
                ),
            ],
            options={
                "verbose_name_plural": "host calls",
                "ordering": ("-minute", "host"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("minute", "host"), name="host_calls_once_per_minute"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="sweep",
            name="failed",
            field=models.PositiveIntegerField(
                db_default=0,
                help_text="Observations that failed for good: dead letters until mended.",
            ),
        ),
        migrations.AddField(
            model_name="sweep",
            name="host_calls",
            field=models.PositiveIntegerField(
                db_default=0,
                help_text="Calls to hosts that its tasks, and what followed from them, made.",
            ),
        ),
        migrations.AddField(
            model_name="repositorywatch",
            name="host",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="Host and port of its clone URL; filled in by the next tick while empty.",
                max_length=300,
            ),
        ),
    ]
