"""Binds snoozes to the state they were given for, and counts how often an alert was reopened lately."""

from django.db import migrations, models
from django.db.models import F, Q


def bind_snoozes(apps, schema_editor):
    """Bind what is snoozed to its state of today: nobody knows what it was when it was snoozed."""
    alerts = apps.get_model("reconciliation", "Alert").objects.using(schema_editor.connection.alias)
    alerts.filter(state="snoozed").update(snoozed_state_digest=F("state_digest"))


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0012_claim_by_turns"),
    ]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="snoozed_state_digest",
            field=models.CharField(blank=True, db_default="", max_length=64),
        ),
        migrations.AddField(
            model_name="alert",
            name="answered_moves",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Head changes and returns of the finding when it was answered.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="reopenings",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="The newest times at which it was reopened, oldest first.",
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="flapping_until",
            field=models.DateTimeField(
                blank=True,
                help_text="Until then it stays open, whatever its finding does.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="escalation_ladder",
            field=models.JSONField(
                default=list, help_text="Steps with role, after_seconds and, once due, due_at."
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="escalation_step",
            field=models.PositiveSmallIntegerField(default=0, help_text="Steps that are due."),
        ),
        migrations.AlterField(
            model_name="alert",
            name="next_escalation_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When the next step is due, if the alert is open then.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=Q(("flapping_until__isnull", False)),
                fields=["flapping_until"],
                name="alert_flapping",
            ),
        ),
        migrations.RunPython(bind_snoozes, migrations.RunPython.noop, elidable=True),
    ]
