"""Indexes what waits by tenant and time, so that claims can take turns by tenant."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0011_bound_uncounted_returns")]

    operations = [
        migrations.RemoveIndex(model_name="reconciliationtask", name="task_claim_order"),
        migrations.AlterField(
            model_name="reconciliationtask",
            name="priority",
            field=models.PositiveSmallIntegerField(
                help_text="Lower goes first: a handicap in seconds beside others that are due."
            ),
        ),
        migrations.AddIndex(
            model_name="reconciliationtask",
            index=models.Index(
                models.F("tenant"),
                models.F("priority"),
                models.F("run_after"),
                models.F("repo"),
                models.F("branch"),
                models.F("task_kind"),
                models.F("id"),
                condition=models.Q(("held_by__isnull", True), ("state", "queued")),
                name="task_claim_turns",
            ),
        ),
    ]
