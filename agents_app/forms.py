"""The forms of the chat pages."""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from agents_app import services
from agents_app.models import Agent
from sessions_app.text import UnstorableText, check_storable

DEFAULT_AGENT = "simple"


class CheckedField(forms.CharField):
    """A line or a text with a rule from elsewhere: `check` raises an error that says why."""

    def __init__(self, check: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self.check = check

    def validate(self, value: str) -> None:
        try:
            self.check(value)
        except (services.ChatError, UnstorableText) as error:
            raise ValidationError(str(error), code="refused") from None


class AgentField(forms.IntegerField):
    """The key of the agent who is to answer.

    Whether it is there and active, and whether one is needed, is for the use-cases to say.
    """

    def __init__(self, **options: Any) -> None:
        messages = {"required": "Choose an agent.", "invalid": "Choose an agent."}
        super().__init__(error_messages=messages, **options)


class MessageForm(forms.Form):
    """A message to an agent, who may be chosen along with it.

    `message_id` is new with every form that is shown, so that the second submit of one and
    the same form is recognised. A form that is shown again was refused, and is a new one.
    """

    text = CheckedField(
        services.check_message, max_length=services.MESSAGE_LENGTH, label="Message", strip=False
    )
    message_id = forms.UUIDField(
        error_messages={
            "required": "This form is incomplete; reload the page.",
            "invalid": "This form is damaged; reload the page.",
        },
    )
    agent = AgentField(required=False)

    @property
    def new_message_id(self) -> uuid.UUID:
        return uuid.uuid4()

    @cached_property
    def agents(self) -> list[Agent]:
        """Whom one can choose; read when the form is shown."""
        return list(Agent.objects.active().order_by("name"))

    @property
    def chosen_agent(self) -> str:
        """The key of the agent that is to be preselected, as text."""
        if self.is_bound and self["agent"].value():
            return str(self["agent"].value())
        by_name = {agent.name: agent for agent in self.agents}
        default = by_name.get(DEFAULT_AGENT) or next(iter(self.agents), None)
        return str(default.pk) if default else ""


class NewChatForm(MessageForm):
    """The first message of a chat."""

    agent = AgentField()


class RetryForm(forms.Form):
    """Who is to answer again, in a chat that has no agent."""

    agent = AgentField(required=False)


class RenameForm(forms.Form):
    """Another name for a chat."""

    name = CheckedField(services.check_name, max_length=services.NAME_LENGTH)


class SearchForm(forms.Form):
    """What to look for in one's own chats."""

    q = CheckedField(
        check_storable, max_length=services.NAME_LENGTH, label="Search your chats", required=False
    )
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)


class OlderForm(forms.Form):
    """Which stretch of a chat to show."""

    before = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    fragment = forms.BooleanField(required=False)
