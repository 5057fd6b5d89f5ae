"""MessageHistory: a conversation as pydantic-ai messages, stored or only in memory.

How a row becomes a message is in agents_app.transcripts, and what of a conversation a model
is told again is in agents_app.replay.
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

from agents_app import replay, transcripts
from agents_app.message_rows import LocalRows, MessageRows, StoredRows
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.querysets import AUTO_NAME_PREFIX, PHANTOM_PLATFORM
from sessions_app.text import storable_json

logger = logging.getLogger(__name__)


class UnknownReference(ValueError):
    """A message was to carry a user or an agent that does not exist."""


class MessageHistory:
    """The messages of one session, or of none: then they live in memory only.

    `session_id` is a UUID or its text. With `no_auto_create` an unknown, empty or invalid one
    gives a local history, and the sessions table is never written. Without it such an id
    makes a session, as Automagik did; that is for old callers only, and is logged.

    `user_id` is stored with everything that is written here. Whether that user may see the
    session is for the caller to decide. `system_prompt` is recorded when it is not the
    session's current one.

    Everything that writes raises UnstorableText for what cannot be stored exactly (also when
    it would stay in memory), UnknownReference for a user or an agent that does not exist, and
    SessionGone when the session was deleted meanwhile.
    """

    def __init__(
        self,
        session_id: UUID | str | None,
        system_prompt: str | None = None,
        user_id: int | None = 1,
        no_auto_create: bool = False,
    ) -> None:
        self.user_id = user_id
        self._exist: set[tuple[type[Model], int]] = set()
        self._added: list[Message] = []
        # None for a local history.
        self.session_id = self._find_session(_uuid_or_none(session_id), make=not no_auto_create)
        self._rows: MessageRows = (
            LocalRows() if self.session_id is None else StoredRows(self.session_id)
        )
        if system_prompt:
            self.add_system_prompt(system_prompt)

    @classmethod
    def from_model_messages(cls, messages: Iterable[ModelMessage]) -> Self:
        """A local history of these messages."""
        history = cls(None, no_auto_create=True)
        history._rows.append(transcripts.rows_from(messages))
        return history

    @classmethod
    def from_json(cls, data: str | bytes) -> Self:
        """A local history of what `to_json` gave. Raises ValueError for anything else."""
        return cls.from_model_messages(ModelMessagesTypeAdapter.validate_json(data))

    def to_json(self) -> str:
        """The whole transcript, with everything in it, as pydantic-ai's adapter writes it."""
        messages = transcripts.to_messages(self._rows.all())
        return ModelMessagesTypeAdapter.dump_json(messages).decode()

    # --- Writing ---------------------------------------------------------------

    def add(
        self,
        content: str,
        agent_id: int | None = None,
        context: dict[str, Any] | None = None,
        channel_payload: dict[str, Any] | None = None,
    ) -> ModelRequest:
        """Add what the user said."""
        message = transcripts.user_prompt(content, timezone.now())
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
        """Add what the assistant answered; returns the answer.

        Tool calls are `{"tool_name", "args", "tool_call_id"}` and outputs `{"tool_name",
        "content", "tool_call_id"}`. Answered calls and their outputs become messages of
        their own, before the answer. `system_prompt` is recorded as in the constructor.
        """
        now = timezone.now()
        messages = transcripts.answer(
            content,
            storable_json(tool_calls),
            storable_json(tool_outputs),
            at=now,
            ids=f"call-{uuid4().hex[:12]}",
            metadata={"assistant_name": assistant_name} if assistant_name else None,
        )
        answers = [message for message in messages if isinstance(message, ModelResponse)]
        if system_prompt and system_prompt != self._current_system_prompt():
            messages = [transcripts.system_prompt(system_prompt, now), *messages]
        self._add(messages, agent_id, context=context, channel_payload=channel_payload)
        return answers[-1]

    def add_system_prompt(self, content: str, agent_id: int | None = None) -> ModelRequest:
        """Make this the session's system prompt: the latest one counts.

        Stores nothing when it is the current one already.
        """
        message = transcripts.system_prompt(content, timezone.now())
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
        """Store the messages of a finished run as they are: all of them, or none."""
        self._add(messages, agent_id, context=context, channel_payload=channel_payload)

    def clear(self) -> None:
        """Delete all messages; the session stays."""
        self._rows.clear()
        self._added = []

    # --- Reading ---------------------------------------------------------------

    def all_messages(self) -> list[ModelMessage]:
        """The latest system prompt, and everything that was said after one another.

        Answers with nothing in them are left out.
        """
        messages = transcripts.to_messages(self._rows.all())
        return replay.without_empty_answers(replay.latest_system_prompt_first(messages))

    def new_messages(self) -> list[ModelMessage]:
        """The messages that were added through this object, in order."""
        return transcripts.to_messages(self._added)

    def get_messages(
        self, page: int = 1, page_size: int = 50, sort_desc: bool = True
    ) -> tuple[list[ModelMessage], int]:
        """A page of the transcript, newest or oldest first, and how many rows it has in all.

        Pages count stored rows, an imported one of which can be several messages. Nothing is
        left out. Raises ValueError for a page or a page size below 1.
        """
        if page < 1 or page_size < 1:
            raise ValueError("Pages are counted from 1, and hold at least one message.")
        count = self._rows.count()
        # Databases count no further than their integers go.
        first, last = (min(number * page_size, count) for number in (page - 1, page))
        rows = self._rows.stretch(first, last, from_end=sort_desc)
        messages = transcripts.to_messages(rows)
        return messages[::-1] if sort_desc else messages, count

    def get_formatted_pydantic_messages(self, limit: int = 20) -> list[ModelMessage]:
        """What a model can be told: the newest whole turns, of at most `limit` messages.

        The system prompt comes first and does not count.
        """
        return replay.within_count(self._newest(limit, lambda message: 1), limit)

    def recent(self, budget: int | None = None) -> list[ModelMessage]:
        """What a model can be told: the newest whole turns that fit into `budget` tokens.

        The default is AGENT_CONTEXT_TOKENS. Loads no more of a long conversation than it
        needs.
        """
        return self._within_budget(budget)

    def before(self, message: Message, budget: int | None = None) -> list[ModelMessage]:
        """As `recent`, of what was said before a stored message."""
        return self._within_budget(budget, before=message.position)

    def _within_budget(
        self, budget: int | None, *, before: int | None = None
    ) -> list[ModelMessage]:
        budget = settings.AGENT_CONTEXT_TOKENS if budget is None else budget
        return replay.within_budget(self._newest(budget, replay.tokens_of, before=before), budget)

    def _newest(
        self, limit: int, cost: Callable[[ModelMessage], int], *, before: int | None = None
    ) -> list[ModelMessage]:
        """What a model can be told, from the end until it costs more than `limit`."""
        newest: list[ModelMessage] = []
        spent = 0
        for rows in self._rows.chunks_from_end(before):
            messages = transcripts.to_messages(rows)
            newest = [*messages, *newest]
            spent += sum(cost(message) for message in messages)
            if spent > limit:
                break
        prompt = self._rows.latest_system_prompt(before)
        return replay.replayable([*transcripts.to_messages([prompt] if prompt else []), *newest])

    def _current_system_prompt(self) -> str | None:
        prompt = self._rows.latest_system_prompt()
        return None if prompt is None else prompt.text_content

    # --- What is written -------------------------------------------------------

    def _add(
        self, messages: Iterable[ModelMessage], agent_id: int | None, **payloads: object
    ) -> None:
        rows = transcripts.rows_from(messages)
        storable = {name: storable_json(payload) for name, payload in payloads.items()}
        for row in rows:
            row.user_id, row.agent_id = self.user_id, agent_id
            for name, payload in storable.items():
                setattr(row, name, payload)
        if self.session_id is not None:
            self._require(get_user_model(), self.user_id)
            self._require(Agent, agent_id)
        self._rows.append(rows)
        self._added += rows

    def _require(self, model: type[Model], pk: int | None) -> None:
        """Raise UnknownReference when there is no such row."""
        if pk is None:
            return
        try:
            if (model, pk) in self._exist:
                return
            exists = model._default_manager.filter(pk=pk).exists()
        except (TypeError, ValueError):
            exists = False
        if not exists:
            raise UnknownReference(f"There is no {model._meta.verbose_name} {pk}.")
        self._exist.add((model, pk))

    def _find_session(self, session_id: UUID | None, *, make: bool) -> UUID | None:
        if session_id is not None and Session.objects.filter(pk=session_id).exists():
            return session_id
        return self._make_session(session_id or uuid4()) if make else None

    def _make_session(self, session_id: UUID) -> UUID:
        self._require(get_user_model(), self.user_id)
        Session.objects.get_or_create(
            pk=session_id,
            defaults={
                "name": f"{AUTO_NAME_PREFIX}{session_id}",
                "platform": PHANTOM_PLATFORM,
                "user_id": self.user_id,
            },
        )
        logger.warning(
            "Building a MessageHistory made session %s; pass no_auto_create=True to prevent this.",
            session_id,
        )
        return session_id


def _uuid_or_none(session_id: UUID | str | None) -> UUID | None:
    if isinstance(session_id, UUID):
        return session_id
    try:
        return UUID(session_id) if isinstance(session_id, str) else None
    except ValueError:
        return None
