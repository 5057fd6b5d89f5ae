"""The forms of the chat pages."""

import uuid
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from agents_app.models import Agent
from sessions_app.text import UnstorableText, check_storable

TEXT_LENGTH = 1_000_000
NAME_LENGTH = 200
DEFAULT_AGENT = "simple"


class StorableField(forms.CharField):
    """A line or a text that both databases can store exactly as it is."""

    def validate(self, value: str) -> None:
        super().validate(value)
        try:
            check_storable(value)
        except UnstorableText as error:
            raise ValidationError(str(error), code="unstorable") from None


class TextField(StorableField):
    """A message: stored as it was written, but not when nothing was written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            strip=False,
            max_length=TEXT_LENGTH,
            error_messages={
                "required": "Write a message first.",
                "max_length": f"A message has at most {TEXT_LENGTH:,} characters; "
                "this one has %(show_value)d.",
            },
            widget=forms.Textarea(attrs={"rows": 1, "autocomplete": "off"}),
            **options,
        )

    def validate(self, value: str) -> None:
        if not value.strip():
            raise ValidationError(self.error_messages["required"], code="required")
        super().validate(value)


class MessageForm(forms.Form):
    """A message to an agent.

    `message_id` is new with every form that is shown, so that the second submit of one and
    the same form is recognised.
    """

    text = TextField(label="Message")
    message_id = forms.UUIDField(
        widget=forms.HiddenInput(attrs={"autocomplete": "off"}),
        initial=uuid.uuid4,
        error_messages={
            "required": "This form is incomplete; reload the page.",
            "invalid": "This form is damaged; reload the page.",
        },
    )


class NewChatForm(MessageForm):
    """The first message of a chat, and who is to answer it."""

    agent = forms.ModelChoiceField(
        queryset=Agent.objects.none(),
        empty_label=None,
        error_messages={
            "required": "Choose an agent.",
            "invalid_choice": "This agent is not available; choose another one.",
        },
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelChoiceField[Agent]", self.fields["agent"])
        field.queryset = Agent.objects.active().order_by("name")
        # Read once: what is shown, the default, and whether there is any.
        self.agents = list(field.queryset)
        names = [agent.name for agent in self.agents]
        if self.agents:
            default = names.index(DEFAULT_AGENT) if DEFAULT_AGENT in names else 0
            field.initial = self.agents[default].pk

    @property
    def chosen_agent(self) -> str:
        """The key of the agent that is to be preselected, as text."""
        value = self["agent"].value()
        return "" if value is None else str(value)


class RenameForm(forms.Form):
    """Another name for a chat."""

    name = StorableField(
        max_length=NAME_LENGTH,
        error_messages={
            "required": "A chat needs a name.",
            "max_length": f"A name has at most {NAME_LENGTH} characters.",
        },
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class SearchForm(forms.Form):
    """What to look for in one's own chats."""

    q = StorableField(
        label="Search your chats",
        required=False,
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
    )
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)


class OlderForm(forms.Form):
    """Which stretch of a chat to show."""

    before = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    fragment = forms.BooleanField(required=False)
