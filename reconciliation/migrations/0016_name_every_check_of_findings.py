"""Names every kind of check that a finding may come from; changes no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reconciliation", "0015_look_through_branches_in_turns"),
    ]

    operations = [
        migrations.AlterField(
            model_name="finding",
            name="check_kind",
            field=models.CharField(
                choices=[
                    ("divergence_alert", "Divergence alert"),
                    ("head_drift", "Head drift"),
                    ("lease_renewal", "Lease renewal"),
                    ("missing_run", "Missing run"),
                    ("observe_refs", "Observe refs"),
                    ("stale_branch", "Stale branch"),
                    ("circuit", "Circuit"),
                    ("webhook_source", "Webhook source"),
                ],
                max_length=20,
            ),
        ),
    ]
