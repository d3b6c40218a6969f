"""Totals that only grow, kept so that neither a restart, a prune nor a million rows change them."""

from django.db import models

from governance.models.fields import CodePointTextField


class MeasuredTotal(models.Model):
    """One number: a measure for some label values.

    Life: made by the first thing that counts for it, then only raised. Rows it was counted from
    may be pruned; the number stays.
    """

    measure = models.CharField(max_length=40)
    labels = CodePointTextField(help_text="Canonical JSON list of label values.")
    value = models.FloatField(default=0)

    class Meta:
        ordering = ("measure", "labels")
        constraints = (
            models.UniqueConstraint(fields=("measure", "labels"), name="measured_total_once"),
        )

    def __str__(self) -> str:
        return f"{self.measure} {self.labels}"


class MeasuredUpTo(models.Model):
    """How far a stream of append-only rows is counted in; locked while it is counted further."""

    stream = models.CharField(max_length=20, primary_key=True)
    last_id = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("stream",)
        verbose_name_plural = "measured up to"

    def __str__(self) -> str:
        return f"{self.stream} up to {self.last_id}"
