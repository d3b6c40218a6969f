"""What people may type on pages, and what is wrong with it; changes nothing."""

from datetime import timedelta

from django import forms

MIN_REASON = 10

_LENGTHS = (
    (1, "1 hour"),
    (4, "4 hours"),
    (24, "24 hours"),
    (72, "3 days"),
    (168, "7 days"),
    (720, "30 days"),
)


class ReasonForm(forms.Form):
    """A reason that somebody else can understand later."""

    reason = forms.CharField(
        min_length=MIN_REASON,
        max_length=1000,
        label="Reason",
        help_text="At least 10 characters; it is kept in the audit trail.",
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={
            "required": "Say why: at least 10 characters.",
            "min_length": "Say a little more: at least 10 characters.",
        },
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # Django's own arguments, passed through
        # Several forms stand on one page: ids must not repeat.
        self.auto_id = f"{type(self).__name__.lower()}_%s"

    def bind_to(self, **seen: str) -> None:
        """Bind the form to what is on the screen now; what the person typed stays.

        A form that was refused because the state moved would else be refused for ever.
        """
        if self.is_bound:
            self.data = {**self.data.dict(), **seen}  # type: ignore[attr-defined]  # a QueryDict
        self.initial.update(seen)


class AcknowledgeForm(ReasonForm):
    """An acknowledgement of exactly the state that was on the screen."""

    hours = forms.TypedChoiceField(
        choices=_LENGTHS,
        coerce=int,
        initial=24,
        label="Holds for",
        help_text="Ends earlier if the branch or the reasons for the alert change.",
    )
    expected_state_digest = forms.CharField(widget=forms.HiddenInput)

    @property
    def lasts(self) -> timedelta:
        """How long the acknowledgement holds."""
        return timedelta(hours=self.cleaned_data["hours"])


class SnoozeForm(ReasonForm):
    """Silence until a moment, for exactly the state that was on the screen."""

    hours = forms.TypedChoiceField(
        choices=_LENGTHS,
        coerce=int,
        initial=4,
        label="Quiet for",
        help_text="Ends earlier if the branch or the reasons for the alert change.",
    )
    expected_state_digest = forms.CharField(widget=forms.HiddenInput)


class ReopenForm(ReasonForm):
    """Take an acknowledgement back."""


class CauseForm(ReasonForm):
    """An act on all dead letters of one cause."""

    cause_class = forms.CharField(required=False, widget=forms.HiddenInput)
    cause_code = forms.CharField(required=False, widget=forms.HiddenInput)
    cause_host = forms.CharField(required=False, widget=forms.HiddenInput)

    @property
    def cause(self) -> tuple[str, str, str]:
        """Which cause is meant: error class, error code and host."""
        told = {**self.initial, **(self.data.dict() if self.is_bound else {})}  # type: ignore[attr-defined]  # a QueryDict
        return (told["cause_class"], told["cause_code"], told["cause_host"])


class RequeueForm(CauseForm):
    """Try them again, with fresh attempts."""


class DiscardForm(CauseForm):
    """Give them up for good."""

    confirmed = forms.BooleanField(
        label="What they would have checked stays unchecked until it changes again.",
        error_messages={"required": "Tick this: discarding cannot be undone."},
    )


class AcceptDefaultBranchForm(ReasonForm):
    """Accept the branch that HEAD names as the default one."""

    expected_default = forms.CharField(required=False, widget=forms.HiddenInput)
    confirmed = forms.BooleanField(
        label="The default branch was changed on purpose; the old one may lose its protection.",
        error_messages={"required": "Tick this once you know that it was meant."},
    )


class AcceptHeadForm(ReasonForm):
    """Accept one exact commit, or a deletion, as the governed snapshot."""

    expected_head = forms.CharField(required=False, widget=forms.HiddenInput)
    confirmed = forms.BooleanField(
        label="I have looked at what changed; governance shall expect this head from now on.",
        error_messages={"required": "Tick this after you have looked at what changed."},
    )
