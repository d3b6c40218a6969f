"""How a coherence matrix reads in the API: the same five rows as on the pages."""

from typing import Any

from rest_framework import serializers

from reconciliation.api.rows import shown_time
from reconciliation.domain.coherence_values import CoherenceMatrix


class CoherenceRowSerializer(serializers.Serializer[Any]):
    """What one of the five sources says of a branch."""

    # Declared fields hide nothing of the serializer's own: its metaclass takes them away.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=["remote_ref", "governed_snapshot", "run_record", "lease", "webhook"]
    )
    value = serializers.CharField(
        allow_null=True, help_text="A commit id, or a lease's holder; null: it says nothing."
    )
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="When the source was last known to say so."
    )
    agrees = serializers.BooleanField(allow_null=True, help_text="null: cannot be told.")
    explanation = serializers.CharField()


class CoherenceSerializer(serializers.Serializer[Any]):
    """The five sources side by side."""

    coherent = serializers.BooleanField(
        allow_null=True, help_text="All agree; null: some cannot tell, and none disagrees."
    )
    rows = CoherenceRowSerializer(many=True)


def matrix_values(matrix: CoherenceMatrix) -> dict[str, Any]:
    """Return a matrix as JSON values."""
    return {
        "coherent": matrix.coherent,
        "rows": [
            {
                "source": row.source,
                "value": row.value,
                "as_of": shown_time(row.as_of),
                "agrees": row.agrees,
                "explanation": row.explanation,
            }
            for row in matrix.rows
        ],
    }
