"""Circuits for hosts and credentials that are down; what waits for one leaves the claim's index."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0004_keep_pushes_of_a_drift"),
        ("reconciliation", "0006_evaluation_rules_version"),
    ]

    operations = [
        migrations.CreateModel(
            name="Circuit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        help_text="Scheme, host and port, or `local`.", max_length=400
                    ),
                ),
                ("key", models.CharField(max_length=600, unique=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("closed", "Closed"),
                            ("open", "Open"),
                            ("half_open", "Half-open"),
                        ],
                        default="closed",
                        max_length=10,
                    ),
                ),
                (
                    "failures",
                    models.JSONField(
                        default=list,
                        help_text="Tasks that failed in a row: task, repository, moment.",
                    ),
                ),
                (
                    "failing_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Empty: nothing failed since it last answered.",
                        null=True,
                    ),
                ),
                ("last_failure_at", models.DateTimeField(blank=True, null=True)),
                (
                    "cause",
                    models.CharField(
                        blank=True, help_text="Error code of the last failure.", max_length=60
                    ),
                ),
                ("message", models.TextField(blank=True)),
                ("opened_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("next_probe_at", models.DateTimeField(blank=True, null=True)),
                ("failed_probes", models.PositiveIntegerField(default=0)),
                (
                    "probed_repo",
                    models.TextField(blank=True, help_text="The next probe asks another one."),
                ),
                (
                    "releasing",
                    models.BooleanField(
                        default=False, help_text="Closed, and what it held is yet to be let go."
                    ),
                ),
                (
                    "held_tasks",
                    models.PositiveIntegerField(default=0, help_text="As of `counted_at`."),
                ),
                ("held_repositories", models.PositiveIntegerField(default=0)),
                ("counted_at", models.DateTimeField(blank=True, null=True)),
                ("openings", models.PositiveIntegerField(default=0)),
                ("correlation_id", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "ordering": ("tenant__slug", "key"),
            },
        ),
        migrations.CreateModel(
            name="CircuitHold",
            fields=[
                (
                    "repository",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="circuit_hold",
                        serialize=False,
                        to="governance.repository",
                    ),
                ),
                (
                    "probe_task_id",
                    models.PositiveBigIntegerField(default=0, help_text="0: none of it."),
                ),
            ],
            options={
                "ordering": ("repository",),
            },
        ),
        migrations.RemoveIndex(
            model_name="reconciliationtask",
            name="task_claim_order",
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
                    ("given_back", "Given back at shutdown"),
                    ("held", "Given back: its host or credential is down"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="circuit",
            name="credential",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: read without one.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="circuits",
                to="governance.remotecredential",
            ),
        ),
        migrations.AddField(
            model_name="circuit",
            name="place",
            field=models.ForeignKey(
                blank=True,
                help_text="The repository that carries its alert.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="governance.repository",
            ),
        ),
        migrations.AddField(
            model_name="circuit",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="circuits",
                to="governance.tenant",
            ),
        ),
        migrations.AddField(
            model_name="reconciliationtask",
            name="held_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The open circuit that it waits for.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="held",
                to="reconciliation.circuit",
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationtask",
            index=models.Index(
                models.F("priority"),
                models.F("tenant"),
                models.F("repo"),
                models.F("branch"),
                models.F("task_kind"),
                models.F("id"),
                condition=models.Q(("held_by__isnull", True), ("state", "queued")),
                name="task_claim_order",
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationtask",
            index=models.Index(
                condition=models.Q(("held_by__isnull", False)), fields=["held_by"], name="task_held"
            ),
        ),
        migrations.AddConstraint(
            model_name="reconciliationtask",
            constraint=models.CheckConstraint(
                condition=models.Q(("held_by__isnull", True), ("state", "queued"), _connector="OR"),
                name="held_only_while_queued",
            ),
        ),
        migrations.AddField(
            model_name="circuithold",
            name="circuit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="holds",
                to="reconciliation.circuit",
            ),
        ),
        migrations.AddIndex(
            model_name="circuit",
            index=models.Index(
                condition=models.Q(("failing_since__isnull", False)),
                fields=["failing_since"],
                name="circuit_failing",
            ),
        ),
    ]
