"""What a person types to try a draft policy, and the one call that follows from it."""

from datetime import datetime, timedelta

from django import forms

from governance.domain.policy_schema import LAYERS
from governance.domain.policy_source import MOST_BYTES
from governance.domain.policy_text import read_policy
from governance.selectors.policy_places import PolicyPlace
from governance.services.policy_planning import plan_version
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.services.simulation import Simulation, simulate
from reconciliation.services.simulation_judging import Against

MOST_EVALUATIONS = 20_000
"""What a page may look at: a few seconds of work. The command has no such bound."""
_DAYS = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))
_AGAINST = (
    (Against.STORED.value, "what was decided"),
    (Against.IN_FORCE.value, "what is in force now"),
)


class SimulationForm(forms.Form):
    """A draft, the layer that it is for, and how far back to look."""

    layer = forms.ChoiceField(choices=[(name, name) for name in LAYERS], label="Layer")
    target = forms.CharField(required=False, max_length=400, label="Target")
    branch_pattern = forms.CharField(required=False, max_length=200, label="Branch pattern")
    days = forms.TypedChoiceField(choices=_DAYS, coerce=int, initial=30, label="Look back")
    against = forms.ChoiceField(choices=_AGAINST, label="Compare with")
    text = forms.CharField(
        required=False,
        strip=False,
        max_length=MOST_BYTES,
        label="Draft",
        widget=forms.Textarea(
            attrs={"rows": 16, "class": "mono", "spellcheck": "false", "wrap": "off"}
        ),
    )

    @property
    def place(self) -> dict[str, str]:
        """Return the address that was typed."""
        return {
            name: str(self.cleaned_data[name]) for name in ("layer", "target", "branch_pattern")
        }


def simulated(form: SimulationForm, *, place: PolicyPlace, now: datetime) -> Simulation:
    """Return what the draft of a valid form would have decided otherwise.

    Raises:
        PolicyRefused: it could not be published either.
    """
    asked = form.cleaned_data
    # Browsers send lines as CR LF; what was typed is one text, wherever its lines end.
    text = asked["text"].replace("\r\n", "\n")
    draft = read_policy(text or "{}", file="draft", layer=place.layer, rules=RULE_WEIGHTS)
    return simulate(
        plan_version(draft, place=place),
        since=now - timedelta(days=asked["days"]),
        until=now,
        against=Against(asked["against"]),
        most_evaluations=MOST_EVALUATIONS,
    )
