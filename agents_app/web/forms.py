"""The forms of the chat pages, and the check of what was posted.

The rules for a message and for a chat's name are those of agents_app.chats.validation, which the
use-cases call: here their fields have limits for the browser only.
"""

from typing import Any, TypeVar
from uuid import UUID, uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from agents_app.chats import validation as chat_validation
from agents_app.chats.lookups import get_session
from agents_app.models import Agent
from agents_app.web.http import current_user
from sessions_app.storable import UnstorableText, check_storable

DAMAGED = "This form is damaged; reload the page."
NO_AUTOCOMPLETE = {"autocomplete": "off"}

F = TypeVar("F", bound=forms.Form)


class UncheckedTextField(forms.CharField):
    """Text that a service checks: the widget has the limits, the field accepts any text."""

    def validate(self, value: str) -> None:
        pass

    def run_validators(self, value: str) -> None:
        pass


class MessageField(UncheckedTextField):
    """The text of a message, kept exactly as it was typed."""

    def __init__(self, *, placeholder: str) -> None:
        attributes = NO_AUTOCOMPLETE | {
            "rows": "1",
            "cols": False,
            "dir": "auto",
            "placeholder": placeholder,
            "aria-describedby": "text-error text-hint",
        }
        super().__init__(
            label="Message",
            max_length=chat_validation.MESSAGE_LENGTH,
            strip=False,
            widget=forms.Textarea(attributes),
        )


class AgentField(forms.IntegerField):
    """The key of an agent; the services check whether it exists, is active and is needed."""

    def __init__(self, **options: Any) -> None:
        messages = {"required": "Choose an agent.", "invalid": "Choose an agent."}
        super().__init__(error_messages=messages, **options)


class MessageForm(forms.Form):
    """A message, and the agent that the chat is to continue with, if one was chosen.

    `is_substitute` is set where the chat has no agent: one that has since been chosen is kept.

    `message_id` is new each time the form is shown, so that a second submit of the same form
    is recognised. A form that is shown again was refused, and counts as a new one.
    """

    text = MessageField(placeholder="Write a message")
    message_id = forms.UUIDField(
        error_messages={
            "required": "This form is incomplete; reload the page.",
            "invalid": DAMAGED,
        },
    )
    agent = AgentField(required=False)
    is_substitute = forms.BooleanField(required=False)

    @property
    def new_message_id(self) -> UUID:
        return uuid4()


class NewChatForm(MessageForm):
    """The first message of a chat, and its agent."""

    text = MessageField(placeholder="Ask anything")
    agent = AgentField()


class PrefillForm(forms.Form):
    """The initial values of the form of a new chat: an agent, and one of its starter prompts."""

    agent = forms.IntegerField(required=False, min_value=1)
    starter = forms.IntegerField(required=False, min_value=0)

    def text(self, agent: Agent | None) -> str:
        """The starter prompt; empty if the agent does not have it."""
        index = self.cleaned_data.get("starter")
        starters = agent.starters if agent else []
        return starters[index] if index is not None and index < len(starters) else ""


class RetryForm(forms.Form):
    """The agent for a retry in a chat that has none, or for another answer."""

    agent = AgentField(required=False)


class EditForm(MessageForm):
    """Another version of a message."""

    text = MessageField(placeholder="")


class VersionForm(forms.Form):
    """The version to show, by its head (agents_app.chats.versions)."""

    head = forms.UUIDField(error_messages={"invalid": DAMAGED})


class FeedbackForm(forms.Form):
    """What the user thinks of an answer, and the page of older messages that it is on."""

    GOOD, BAD, NONE = "good", "bad", "none"

    rating = forms.ChoiceField(choices=[(GOOD, "Good"), (BAD, "Bad"), (NONE, "None")])
    reason = UncheckedTextField(required=False)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)


class RenameForm(forms.Form):
    """Another name for a chat."""

    name = UncheckedTextField(
        label="Name of this chat",
        max_length=chat_validation.NAME_LENGTH,
        widget=forms.TextInput(NO_AUTOCOMPLETE),
    )


class PinForm(forms.Form):
    """Whether a chat is pinned."""

    pinned = forms.BooleanField(required=False)


def validate_storable(text: str) -> None:
    """Raise ValidationError for text that not every database can hold."""
    try:
        check_storable(text)
    except UnstorableText as error:
        raise ValidationError(str(error), code="unstorable") from None


class SearchForm(forms.Form):
    """A search in the user's own chats, and the page of its results."""

    q = forms.CharField(
        label="Search your chats",
        max_length=chat_validation.NAME_LENGTH,
        required=False,
        validators=[validate_storable],
        widget=forms.TextInput(
            NO_AUTOCOMPLETE | {"type": "search", "placeholder": "Search", "data-search": True}
        ),
    )
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)


class TranscriptSliceForm(forms.Form):
    """Which part of a chat is shown, as a page or a fragment of one.

    The messages before, after or around a position, or all of them. `q` is the search that found
    the message at the position.
    """

    before = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 2)
    at = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    q = forms.CharField(required=False, max_length=chat_validation.NAME_LENGTH)
    all = forms.BooleanField(required=False)
    fragment = forms.BooleanField(required=False)


class ChatExportForm(forms.Form):
    """The format in which a chat is exported."""

    format = forms.ChoiceField(choices=[("md", "Markdown"), ("json", "JSON")])


class InvalidForm(Exception):
    """A posted form is incomplete or damaged; the text is its first error."""

    def __init__(self, form: forms.Form) -> None:
        super().__init__(next(iter(form.errors.values()))[0])


def posted_form(form_class: type[F], request: HttpRequest, *, session_id: UUID | None = None) -> F:
    """The form that was posted. Raises InvalidForm.

    With the id of a chat that is not the user's, raises ChatNotFound for an invalid form.
    """
    form = form_class(request.POST)
    if not form.is_valid():
        if session_id is not None:
            get_session(user=current_user(request), session_id=session_id)
        raise InvalidForm(form)
    return form
