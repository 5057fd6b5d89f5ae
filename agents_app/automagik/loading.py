"""Stores an Automagik database in this one: all of it, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import reset_queries, transaction
from django.db.models import QuerySet
from django.utils import timezone

from agents_app.automagik.rows import CannotImport, Row, batches, shorten
from agents_app.automagik.sources import Source
from agents_app.automagik.users import ImportedUsers
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.writing import SessionGone, append_messages

# Is told, after each batch, of which table it was and how many rows of it are done.
OnProgress = Callable[[str, int], None]

_MESSAGE_JSON = ["tool_calls", "tool_outputs", "raw_payload", "context", "channel_payload"]
_MESSAGE_COLUMNS = {
    *("id", "session_id", "user_id", "agent_id", "role", "text_content", "message_type"),
    *("created_at", "updated_at"),
    *_MESSAGE_JSON,
}
_OTHER_JSON = {"usage"}


@dataclass(frozen=True)
class Count:
    """How many rows of a table were stored, and how many had been there before."""

    new: int
    present: int

    @property
    def total(self) -> int:
        return self.new + self.present


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    users: Count
    agents: Count
    sessions: Count
    messages: Count


def import_automagik(
    source: Source, *, match_staff: bool = False, on_progress: OnProgress | None = None
) -> Imported:
    """Store what a source holds and this database does not, in one transaction.

    What is known already (a session or a message by its id, an agent by its name, a user as
    ImportedUsers says) is left as it is, so that a second import changes nothing. A session
    without an agent gets the one that its messages name last, when its first messages come;
    later, and when its agent was taken from it here, it is left without. Apart from the users,
    the agents and the ids of such sessions, only one batch of rows at a time is held in memory.

    With `match_staff`, staff own the chats of the person with their e-mail.

    Raises CannotImport at the first row that is not right; nothing is stored then.
    """
    with transaction.atomic():
        return _Import(source, match_staff, on_progress).run()


class _Import:
    """An import under way: users and agents first, since the others refer to them."""

    def __init__(self, source: Source, match_staff: bool, on_progress: OnProgress | None) -> None:
        self._source = source
        self._on_progress = on_progress
        self._now = timezone.now()
        self._users = ImportedUsers(now=self._now, match_staff=match_staff)
        self._agents_here = dict(Agent.objects.values_list("name", "pk"))
        self._agents: dict[str, int] = {}  # by Automagik's id
        self._without_agent: set[UUID] = set()  # whose messages may name one
        self._left_without_agent: set[UUID] = set()  # because somebody here has decided so

    def run(self) -> Imported:
        return Imported(
            users=self._import_table("users", self._users.store),
            agents=self._import_table("agents", self._store_agents),
            sessions=self._import_table("sessions", self._store_sessions),
            messages=self._import_table("messages", self._store_messages),
        )

    def _import_table(self, table: str, store: Callable[[list[Row]], int]) -> Count:
        """Import a table with a function that stores a batch and says how many rows were new."""
        done = new = 0
        for batch in batches(self._source.rows(table)):
            new += store(batch)
            done += len(batch)
            if self._on_progress:
                self._on_progress(table, done)
            reset_queries()  # with DEBUG on, Django keeps the text of every query
        return Count(new=new, present=done - new)

    def _store_agents(self, batch: list[Row]) -> int:
        before = len(self._agents_here)
        for row in batch:
            agent = self._read_agent(row)
            if agent.name not in self._agents_here:
                agent.save()
                self._agents_here[agent.name] = agent.pk
            self._agents[row.own_key()] = self._agents_here[agent.name]
        return len(self._agents_here) - before

    def _store_sessions(self, batch: list[Row]) -> int:
        read = [self._read_session(row) for row in batch]
        ids = [chat_session.pk for chat_session in read]
        here = dict(Session.objects.filter(pk__in=ids).values_list("pk", "agent_id"))
        self._left_without_agent |= {
            chat_session.pk
            for chat_session in read
            if chat_session.agent_id and chat_session.pk in here and not here[chat_session.pk]
        }
        new = [chat_session for chat_session in read if chat_session.pk not in here]
        Session.objects.bulk_create(new)
        return len(new)

    def _store_messages(self, batch: list[Row]) -> int:
        here = _ids_here(Message.objects.all(), batch)
        named = {row.uuid("session_id") for row in batch}
        last_activity = dict(Session.objects.filter(pk__in=named).values_list("pk", "updated_at"))
        read = [self._read_message(row, last_activity) for row in batch]
        new = [message for message in read if message.pk not in here]
        try:
            append_messages(new, touch=False)
        except SessionGone as error:
            raise CannotImport(f"{error} It was removed during the import.") from error
        self._name_agents(new)
        return len(new)

    def _name_agents(self, new: list[Message]) -> None:
        """Give sessions that have none the agent that new messages, in their order, name last.

        Their rows are locked, since the messages have just been stored.
        """
        begun = {message.session_id for message in new if message.position == 1}
        unnamed = Session.objects.filter(pk__in=begun - self._left_without_agent, agent=None)
        self._without_agent |= set(unnamed.values_list("pk", flat=True))
        named = {
            message.session_id: message.agent_id
            for message in new
            if message.agent_id and message.session_id in self._without_agent
        }
        for agent_id in set(named.values()):
            ids = [pk for pk, named_last in named.items() if named_last == agent_id]
            Session.objects.filter(pk__in=ids).update(agent=agent_id)

    def _read_agent(self, row: Row) -> Agent:
        if not row.text("name"):
            raise row.wrong("name", "is empty.")
        created_at, updated_at = _times(row, otherwise=self._now)
        return Agent(
            name=row.text("name"),
            type=row.text("type"),
            model=row.text("model"),
            description=row.text("description"),
            system_prompt=row.text("system_prompt"),
            config=row.json("config") or {},
            active=row.flag("active", default=True),
            created_at=created_at,
            updated_at=updated_at,
        )

    def _read_session(self, row: Row) -> Session:
        created_at, updated_at = _times(row, otherwise=self._now)
        return Session(
            id=row.uuid("id"),
            user_id=self._users.referred_to(row),
            agent_id=self._agent_referred_to(row),
            name=row.text("name"),
            platform=row.text("platform"),
            metadata=row.json("metadata"),
            created_at=created_at,
            updated_at=updated_at,
            run_finished_at=row.time("run_finished_at"),
        )

    def _read_message(self, row: Row, last_activity: dict[UUID, datetime]) -> Message:
        session_id = row.uuid("session_id")
        if session_id not in last_activity:
            raise row.wrong("session_id", f"there is no session {session_id}.")
        if row.text("role") not in Message.Role:
            roles = ", ".join(Message.Role.values)
            raise row.wrong("role", f"{shorten(row.text('role'))} is none of {roles}.")
        created_at, updated_at = _times(row, otherwise=last_activity[session_id])
        return Message(
            id=row.uuid("id"),
            session_id=session_id,
            user_id=self._users.referred_to(row),
            agent_id=self._agent_referred_to(row),
            role=row.text("role"),
            text_content=row.text("text_content"),
            message_type=row.text("message_type"),
            **{column: row.json(column) for column in _MESSAGE_JSON},
            extra=_extra(row),
            created_at=created_at,
            updated_at=updated_at,
        )

    def _agent_referred_to(self, row: Row) -> int | None:
        key = row.key("agent_id")
        if key is None:
            return None
        if key not in self._agents:
            raise row.wrong("agent_id", f"there is no agent {key}.")
        return self._agents[key]


def _ids_here(stored: QuerySet[Any], batch: list[Row]) -> set[UUID]:
    """Which of the rows' ids are in use already."""
    ids = [row.uuid("id") for row in batch]
    return set(stored.filter(pk__in=ids).values_list("pk", flat=True))


def _times(row: Row, *, otherwise: datetime) -> tuple[datetime, datetime]:
    """When a row was made and last changed; a time that is missing is taken from the other.

    When both are missing, an agent and a session are as old as the import, and a message,
    which then stands at the end of its transcript, is as old as its session's last activity.
    """
    created_at, updated_at = row.time("created_at"), row.time("updated_at")
    return created_at or updated_at or otherwise, updated_at or created_at or otherwise


def _extra(row: Row) -> dict[str, Any] | None:
    """What the message has in columns for which there is none here."""
    extra = {
        column: row.json(column) if column in _OTHER_JSON else value
        for column, value in row.values.items()
        if column not in _MESSAGE_COLUMNS and value is not None
    }
    return extra or None
