"""The forms of the chat pages."""

import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from agents_app.models import Agent
from sessions_app.text import UnstorableText, check_storable

TEXT_LENGTH = 1_000_000
NAME_LENGTH = 200
DEFAULT_AGENT = "simple"
_REPLACEMENT = "\ufffd"


class StorableField(forms.CharField):
    """A line or a text that both databases can store exactly as it is."""

    def validate(self, value: str) -> None:
        super().validate(value)
        if _REPLACEMENT in value:
            # Django has put it where bytes were no text: what was meant cannot be stored.
            raise ValidationError(
                f"The text holds {_REPLACEMENT}, which stands for a character that was lost "
                "on its way here. Write it anew.",
                code="replaced",
            )
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
    the same form is recognised. A form that is shown again was refused, and is a new one.
    """

    text = TextField(label="Message")
    message_id = forms.UUIDField(
        error_messages={
            "required": "This form is incomplete; reload the page.",
            "invalid": "This form is damaged; reload the page.",
        },
    )

    @property
    def new_message_id(self) -> uuid.UUID:
        return uuid.uuid4()


class NewChatForm(MessageForm):
    """The first message of a chat, and the key of who is to answer it.

    Whether that agent is there and active is for `services.start_session` to say.
    """

    agent = forms.IntegerField(
        error_messages={"required": "Choose an agent.", "invalid": "Choose an agent."}
    )

    @cached_property
    def agents(self) -> list[Agent]:
        """Whom one can choose; read when the form is shown."""
        return list(Agent.objects.active().order_by("name"))

    @property
    def chosen_agent(self) -> str:
        """The key of the agent that is to be preselected, as text."""
        if self.is_bound:
            return str(self["agent"].value() or "")
        by_name = {agent.name: agent for agent in self.agents}
        default = by_name.get(DEFAULT_AGENT) or next(iter(self.agents), None)
        return str(default.pk) if default else ""


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
