"""MessageHistory: a conversation as pydantic-ai messages, in a stored session or in memory only.

agents_app.conversation.codec converts between rows and messages, and
agents_app.conversation.trimming decides what of them a model is sent.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.utils import timezone
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse

from agents_app.conversation import codec, trimming
from agents_app.conversation.stores import DatabaseStore, InMemoryStore, MessageStore
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.querysets import AUTO_NAME_PREFIX, PHANTOM_PLATFORM
from sessions_app.storable import storable_json

logger = logging.getLogger(__name__)


class UnknownReference(ValueError):
    """A message refers to a user or an agent that does not exist."""


class MessageHistory:
    """The messages of one session, or, without a session, of a local history in memory.

    `session_id` is a UUID or its text. With `no_auto_create`, an unknown, empty or invalid one
    gives a local history, and the sessions table is never written to. Without it, such an id
    creates a session and logs a warning, as Automagik did.

    `user_id` is stored with every message added here. The caller decides whether that user
    may see the session. `system_prompt` is stored when it differs from the session's current
    one.

    Everything that writes raises UnstorableText for what cannot be stored exactly (in a local
    history too), UnknownReference for a user or an agent that does not exist, and SessionGone
    when the session has been deleted.

    The product itself calls `add`, `add_rows`, `recent` and `before`, and always passes
    `no_auto_create`. Everything else is Automagik's interface, kept for code ported from it.
    """

    def __init__(
        self,
        session_id: UUID | str | None,
        system_prompt: str | None = None,
        user_id: int | None = 1,
        no_auto_create: bool = False,
    ) -> None:
        self.user_id = user_id
        self._known_references: set[tuple[type[Model], int]] = set()
        self._added: list[Message] = []
        # None for a local history.
        self.session_id = self._existing_session(_parse_uuid(session_id))
        if self.session_id is None and not no_auto_create:
            self.session_id = self._create_session(_parse_uuid(session_id) or uuid4())
        self._store: MessageStore = (
            InMemoryStore() if self.session_id is None else DatabaseStore(self.session_id)
        )
        if system_prompt:
            self.add_system_prompt(system_prompt)

    @classmethod
    def from_model_messages(cls, messages: Iterable[ModelMessage]) -> Self:
        """A local history of these messages."""
        history = cls(None, no_auto_create=True)
        history._store.append(codec.to_rows(messages))
        return history

    @classmethod
    def from_json(cls, data: str | bytes) -> Self:
        """A local history from the output of `to_json`. Raises ValueError for anything else."""
        return cls.from_model_messages(ModelMessagesTypeAdapter.validate_json(data))

    def to_json(self) -> str:
        """Every message, complete, as pydantic-ai's adapter serializes them."""
        messages = codec.to_model_messages(self._store.all())
        return ModelMessagesTypeAdapter.dump_json(messages).decode()

    # --- Writing ---------------------------------------------------------------

    def add(
        self,
        content: str,
        agent_id: int | None = None,
        context: dict[str, Any] | None = None,
        channel_payload: dict[str, Any] | None = None,
    ) -> ModelRequest:
        """Add a user's message."""
        message = codec.user_prompt(content, timezone.now())
        self._add([message], agent_id, context=context, channel_payload=channel_payload)
        return message

    def add_response(
        self,
        content: str,
        tool_calls: Sequence[dict[str, Any]] | None = None,
        tool_outputs: Sequence[dict[str, Any]] | None = None,
        system_prompt: str | None = None,
        agent_id: int | None = None,
        assistant_name: str | None = None,
        context: dict[str, Any] | None = None,
        channel_payload: dict[str, Any] | None = None,
    ) -> ModelResponse:
        """Add an assistant's answer; returns its last message.

        Tool calls are `{"tool_name", "args", "tool_call_id"}` and outputs `{"tool_name",
        "content", "tool_call_id"}`. Calls that have an output become messages of their own,
        before the text. `system_prompt` is stored as in the constructor.
        """
        now = timezone.now()
        messages = codec.build_messages(
            content,
            storable_json(tool_calls),
            storable_json(tool_outputs),
            timestamp=now,
            call_id_prefix=f"call-{uuid4().hex[:12]}",
            metadata={"assistant_name": assistant_name} if assistant_name else None,
        )
        responses = [message for message in messages if isinstance(message, ModelResponse)]
        if system_prompt and system_prompt != self._current_system_prompt():
            messages = [codec.system_prompt(system_prompt, now), *messages]
        self._add(messages, agent_id, context=context, channel_payload=channel_payload)
        return responses[-1]

    def add_system_prompt(self, content: str, agent_id: int | None = None) -> ModelRequest:
        """Make this the session's current system prompt; stored only when it differs."""
        message = codec.system_prompt(content, timezone.now())
        if content != self._current_system_prompt():
            self._add([message], agent_id)
        return message

    def add_model_messages(
        self,
        messages: Iterable[ModelMessage],
        agent_id: int | None = None,
        context: dict[str, Any] | None = None,
        channel_payload: dict[str, Any] | None = None,
    ) -> None:
        """Add messages as they are: all of them, or none."""
        self._add(messages, agent_id, context=context, channel_payload=channel_payload)

    def add_rows(self, rows: Sequence[Message], agent_id: int | None = None) -> None:
        """Add unsaved rows of agents_app.conversation.codec: all of them, or none."""
        for row in rows:
            row.user_id, row.agent_id = self.user_id, agent_id
        if self.session_id is not None:
            self._check_exists(get_user_model(), self.user_id)
            self._check_exists(Agent, agent_id)
        self._store.append(list(rows))
        self._added += rows

    def clear(self) -> None:
        """Delete all messages; the session stays."""
        self._store.clear()
        self._added = []

    # --- Reading ---------------------------------------------------------------

    def all_messages(self) -> list[ModelMessage]:
        """The latest system prompt, and the other messages in order, without empty responses."""
        messages = codec.to_model_messages(self._store.all())
        return trimming.drop_empty_responses(trimming.latest_system_prompt_first(messages))

    def new_messages(self) -> list[ModelMessage]:
        """The messages added through this object, in order."""
        return codec.to_model_messages(self._added)

    def get_messages(
        self, page: int = 1, page_size: int = 50, sort_desc: bool = True
    ) -> tuple[list[ModelMessage], int]:
        """A page of all messages, newest or oldest first, and the number of stored rows.

        Pages count rows; an imported row can hold several messages. Raises ValueError for a
        page or a page size below 1.
        """
        if page < 1 or page_size < 1:
            raise ValueError("Pages are counted from 1, and hold at least one message.")
        count = self._store.count()
        # An offset larger than the database's integers would be an error.
        start, stop = (min(number * page_size, count) for number in (page - 1, page))
        rows = self._store.slice(start, stop, from_end=sort_desc)
        messages = codec.to_model_messages(rows)
        return messages[::-1] if sort_desc else messages, count

    def get_formatted_pydantic_messages(self, limit: int = 20) -> list[ModelMessage]:
        """The newest whole turns of at most `limit` messages, prepared for a model.

        The system prompt comes first and does not count.
        """
        return trimming.trim_to_count(self._load_newest(limit, lambda message: 1), limit)

    def recent(self, budget: int | None = None) -> list[ModelMessage]:
        """The newest whole turns that fit into `budget` tokens, prepared for a model.

        The default is AGENT_CONTEXT_TOKENS. Loads no more of a long conversation than needed.
        """
        budget = settings.AGENT_CONTEXT_TOKENS if budget is None else budget
        newest = self._load_newest(budget, trimming.estimate_message_tokens)
        return trimming.trim_to_budget(newest, budget)

    def before(
        self, message: Message, budget: int | None = None, *, inclusive: bool = False
    ) -> list[ModelMessage]:
        """The messages before a stored one, or up to it, as far back as `budget` tokens reach.

        Not trimmed, so that the agent can tell whether it leaves anything out; the messages know
        their positions.
        """
        budget = settings.AGENT_CONTEXT_TOKENS if budget is None else budget
        return self._load_newest(
            budget, trimming.estimate_message_tokens, before=message.position + inclusive
        )

    def _load_newest(
        self, limit: int, cost: Callable[[ModelMessage], int], *, before: int | None = None
    ) -> list[ModelMessage]:
        """The newest messages until their cost exceeds `limit`, prepared for a model."""
        to_messages = codec.to_model_messages if before is None else codec.to_positioned_messages
        newest: list[ModelMessage] = []
        spent = 0
        for rows in self._store.batches_newest_first(before):
            messages = to_messages(rows)
            newest = [*messages, *newest]
            spent += sum(cost(message) for message in messages)
            if spent > limit:
                break
        prompt = self._store.latest_system_prompt(before)
        return trimming.prepare_for_model(
            [*codec.to_model_messages([prompt] if prompt else []), *newest]
        )

    def _current_system_prompt(self) -> str | None:
        prompt = self._store.latest_system_prompt()
        return None if prompt is None else prompt.text_content

    # --- Internals -------------------------------------------------------------

    def _add(
        self, messages: Iterable[ModelMessage], agent_id: int | None, **payloads: object
    ) -> None:
        rows = codec.to_rows(messages)
        storable = {name: storable_json(payload) for name, payload in payloads.items()}
        for row in rows:
            for name, payload in storable.items():
                setattr(row, name, payload)
        self.add_rows(rows, agent_id)

    def _check_exists(self, model: type[Model], pk: int | None) -> None:
        """Raise UnknownReference when a user or an agent does not exist."""
        if pk is None:
            return
        try:
            if (model, pk) in self._known_references:
                return
            exists = model._default_manager.filter(pk=pk).exists()
        except (TypeError, ValueError):
            exists = False
        if not exists:
            raise UnknownReference(f"There is no {model._meta.verbose_name} {pk}.")
        self._known_references.add((model, pk))

    def _existing_session(self, session_id: UUID | None) -> UUID | None:
        if session_id is None or not Session.objects.filter(pk=session_id).exists():
            return None
        return session_id

    def _create_session(self, session_id: UUID) -> UUID:
        self._check_exists(get_user_model(), self.user_id)
        Session.objects.get_or_create(
            pk=session_id,
            defaults={
                "name": f"{AUTO_NAME_PREFIX}{session_id}",
                "platform": PHANTOM_PLATFORM,
                "user_id": self.user_id,
            },
        )
        logger.warning(
            "A MessageHistory created session %s; pass no_auto_create=True to prevent this.",
            session_id,
        )
        return session_id


def _parse_uuid(session_id: UUID | str | None) -> UUID | None:
    if isinstance(session_id, UUID):
        return session_id
    try:
        return UUID(session_id) if isinstance(session_id, str) else None
    except ValueError:
        return None
