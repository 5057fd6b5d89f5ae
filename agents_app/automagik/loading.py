"""Stores the rows of an Automagik database in this one, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import reset_queries, transaction
from django.utils import timezone

from agents_app.automagik.rows import CannotImport, Row, batches, shorten
from agents_app.automagik.sources import Source
from agents_app.automagik.users import ImportedUsers
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.writing import SessionGone, append_messages

# Called after each batch with the table's name and the number of its rows processed so far.
OnProgress = Callable[[str, int], None]

_MESSAGE_JSON = ["tool_calls", "tool_outputs", "raw_payload", "context", "channel_payload"]
_MESSAGE_COLUMNS = {
    *("id", "session_id", "user_id", "agent_id", "role", "text_content", "message_type"),
    *("created_at", "updated_at"),
    *_MESSAGE_JSON,
}
_OTHER_JSON = {"usage"}


@dataclass(frozen=True)
class TableCount:
    """How many rows of a table were stored, and how many existed before."""

    new: int
    existing: int

    @property
    def total(self) -> int:
        return self.new + self.existing


@dataclass(frozen=True)
class ImportResult:
    """How many rows of each table an import found."""

    users: TableCount
    agents: TableCount
    sessions: TableCount
    messages: TableCount


def import_automagik(
    source: Source, *, match_staff: bool = False, on_progress: OnProgress | None = None
) -> ImportResult:
    """Store the rows that this database does not have yet, in one transaction.

    Existing rows (a session or a message with the same id, an agent with the same name, a user
    as ImportedUsers matches them) stay unchanged, so that a second import changes nothing.

    A session without an agent gets the last one that its messages refer to, in the import that
    brings its first messages. Later imports leave it alone, as they do a session whose agent
    was removed here.

    Apart from what the source holds, users, agents, the ids of sessions without an agent and one
    batch of rows are in memory. With `match_staff`, users are matched to staff by e-mail, too.

    Raises CannotImport at the first bad row, and then stores nothing.
    """
    with transaction.atomic():
        return _Import(source, match_staff, on_progress).run()


class _Import:
    """The state of one import. Users and agents come first: the other tables refer to them."""

    def __init__(self, source: Source, match_staff: bool, on_progress: OnProgress | None) -> None:
        self._source = source
        self._on_progress = on_progress
        self._now = timezone.now()
        self._users = ImportedUsers(now=self._now, match_staff=match_staff)
        self._pk_by_agent_name = dict(Agent.objects.values_list("name", "pk"))
        self._agent_pk_by_key: dict[str, int] = {}  # by Automagik's id
        self._without_agent: set[UUID] = set()  # sessions to get one
        self._agent_removed_here: set[UUID] = set()  # sessions not to get one again

    def run(self) -> ImportResult:
        return ImportResult(
            users=self._import_table("users", self._users.store),
            agents=self._import_table("agents", self._store_agents),
            sessions=self._import_table("sessions", self._store_sessions),
            messages=self._import_table("messages", self._store_messages),
        )

    def _import_table(self, table: str, store: Callable[[list[Row]], int]) -> TableCount:
        """Import a table; `store` stores a batch and returns how many of its rows were new."""
        done = new = 0
        for batch in batches(self._source.rows(table)):
            new += store(batch)
            done += len(batch)
            if self._on_progress:
                self._on_progress(table, done)
            reset_queries()  # with DEBUG on, Django keeps every query in memory
        return TableCount(new=new, existing=done - new)

    def _store_agents(self, batch: list[Row]) -> int:
        before = len(self._pk_by_agent_name)
        for row in batch:
            agent = self._read_agent(row)
            if agent.name not in self._pk_by_agent_name:
                agent.save()
                self._pk_by_agent_name[agent.name] = agent.pk
            self._agent_pk_by_key[row.own_key()] = self._pk_by_agent_name[agent.name]
        return len(self._pk_by_agent_name) - before

    def _store_sessions(self, batch: list[Row]) -> int:
        read = [self._read_session(row) for row in batch]
        ids = [chat_session.pk for chat_session in read]
        existing = dict(Session.objects.filter(pk__in=ids).values_list("pk", "agent_id"))
        self._agent_removed_here |= {
            chat_session.pk
            for chat_session in read
            if chat_session.agent_id
            and chat_session.pk in existing
            and not existing[chat_session.pk]
        }
        new = [chat_session for chat_session in read if chat_session.pk not in existing]
        Session.objects.bulk_create(new)
        return len(new)

    def _store_messages(self, batch: list[Row]) -> int:
        ids = [row.uuid("id") for row in batch]
        existing = set(Message.objects.filter(pk__in=ids).values_list("pk", flat=True))
        session_ids = {row.uuid("session_id") for row in batch}
        last_activity = dict(
            Session.objects.filter(pk__in=session_ids).values_list("pk", "updated_at")
        )
        read = [self._read_message(row, last_activity) for row in batch]
        new = [message for message in read if message.pk not in existing]
        try:
            append_messages(new, touch=False)
        except SessionGone as error:
            raise CannotImport(f"{error} It was removed during the import.") from error
        self._assign_agents(new)
        return len(new)

    def _assign_agents(self, new: list[Message]) -> None:
        """Give sessions without an agent the last one that their new messages refer to.

        Storing the messages has locked the rows of the sessions.
        """
        started = {message.session_id for message in new if message.position == 1}
        candidates = Session.objects.filter(pk__in=started - self._agent_removed_here, agent=None)
        self._without_agent |= set(candidates.values_list("pk", flat=True))
        last_agents = {
            message.session_id: message.agent_id
            for message in new
            if message.agent_id and message.session_id in self._without_agent
        }
        for agent_id in set(last_agents.values()):
            ids = [pk for pk, last_agent in last_agents.items() if last_agent == agent_id]
            Session.objects.filter(pk__in=ids).update(agent=agent_id)

    def _read_agent(self, row: Row) -> Agent:
        if not row.text("name"):
            raise row.error("name", "is empty.")
        created_at, updated_at = _timestamps(row, default=self._now)
        return Agent(
            name=row.text("name"),
            type=row.text("type"),
            model=row.text("model"),
            description=row.text("description"),
            system_prompt=row.text("system_prompt"),
            config=row.json("config") or {},
            active=row.boolean("active", default=True),
            created_at=created_at,
            updated_at=updated_at,
        )

    def _read_session(self, row: Row) -> Session:
        created_at, updated_at = _timestamps(row, default=self._now)
        return Session(
            id=row.uuid("id"),
            user_id=self._users.id_for(row),
            agent_id=self._agent_id_for(row),
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
            raise row.error("session_id", f"there is no session {session_id}.")
        if row.text("role") not in Message.Role:
            roles = ", ".join(Message.Role.values)
            raise row.error("role", f"{shorten(row.text('role'))} is none of {roles}.")
        created_at, updated_at = _timestamps(row, default=last_activity[session_id])
        return Message(
            id=row.uuid("id"),
            session_id=session_id,
            user_id=self._users.id_for(row),
            agent_id=self._agent_id_for(row),
            role=row.text("role"),
            text_content=row.text("text_content"),
            message_type=row.text("message_type"),
            **{column: row.json(column) for column in _MESSAGE_JSON},
            extra=_extra(row),
            created_at=created_at,
            updated_at=updated_at,
        )

    def _agent_id_for(self, row: Row) -> int | None:
        key = row.key("agent_id")
        if key is None:
            return None
        if key not in self._agent_pk_by_key:
            raise row.error("agent_id", f"there is no agent {key}.")
        return self._agent_pk_by_key[key]


def _timestamps(row: Row, *, default: datetime) -> tuple[datetime, datetime]:
    """`created_at` and `updated_at` of a row; a missing one is taken from the other.

    Both fall back to the default: the time of the import for agents and sessions, and the
    session's last activity for messages, which the source orders last.
    """
    created_at, updated_at = row.time("created_at"), row.time("updated_at")
    return created_at or updated_at or default, updated_at or created_at or default


def _extra(row: Row) -> dict[str, Any] | None:
    """The values of columns that Message does not have."""
    extra = {
        column: row.json(column) if column in _OTHER_JSON else value
        for column, value in row.values.items()
        if column not in _MESSAGE_COLUMNS and value is not None
    }
    return extra or None
