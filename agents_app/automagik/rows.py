"""One row of an Automagik table, and what is said when it cannot be imported."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from sessions_app.text import UnstorableText, printable, storable_json

# What is read of each table. Versions of Automagik differ in the others: agents lost
# system_prompt, sessions gained run_finished_at and messages gained channel_payload.
NEEDED_COLUMNS = {
    "users": ["id", "email", "phone_number", "created_at"],
    "agents": [
        *("id", "name", "type", "model", "description", "config", "active"),
        *("created_at", "updated_at"),
    ],
    "sessions": [
        *("id", "user_id", "agent_id", "name", "platform", "metadata"),
        *("created_at", "updated_at"),
    ],
    "messages": [
        *("id", "session_id", "user_id", "agent_id", "role", "text_content", "message_type"),
        *("raw_payload", "tool_calls", "tool_outputs", "context", "created_at", "updated_at"),
    ],
}

# Rows that are stored at a time; their ids fit into one query on every SQLite.
BATCH_SIZE = 500

_FLAGS = {"t": True, "true": True, "f": False, "false": False}


class CannotImport(Exception):
    """The source cannot be imported; the text says where it is wrong and how.

    It may quote what the source says, its server's own messages among it, and it ends up on
    terminals: so it is always one printable line.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


@dataclass(frozen=True, slots=True)
class Row:
    """A row as PostgreSQL's COPY writes it: every value is text, and None stands for NULL."""

    where: str
    values: dict[str, str | None]

    def wrong(self, column: str, problem: str) -> CannotImport:
        """The error to raise when the value of a column is not acceptable."""
        return CannotImport(f"{self.where}, column {column}: {problem}")

    def text(self, column: str) -> str:
        """A text; NULL, or a column that the source does not have, is an empty one."""
        return self.values.get(column) or ""

    def uuid(self, column: str) -> UUID:
        """A UUID that must be there."""
        value = self.text(column)
        try:
            return UUID(value)
        except ValueError:
            raise self.wrong(column, f"{shorten(value)} is not a UUID.") from None

    def key(self, column: str) -> str | None:
        """An id of a user or an agent (a whole number or a UUID), in a form to compare."""
        value = self.text(column)
        if not value:
            return None
        try:
            return str(int(value) if value.isascii() and value.isdigit() else UUID(value))
        except ValueError:
            raise self.wrong(
                column, f"{shorten(value)} is neither a whole number nor a UUID."
            ) from None

    def own_key(self) -> str:
        """The row's own id, as `key` gives it."""
        key = self.key("id")
        if key is None:
            raise self.wrong("id", "is empty.")
        return key

    def time(self, column: str) -> datetime | None:
        """A point in time; one without a zone is UTC."""
        value = self.text(column)
        if not value:
            return None
        try:
            time = parse_datetime(value)
            if time is not None:
                return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise self.wrong(column, f"{shorten(value)} is not a date and time.")

    def flag(self, column: str, *, default: bool) -> bool:
        """True or false; NULL is the default."""
        value = self.text(column).lower()
        if not value:
            return default
        if value not in _FLAGS:
            raise self.wrong(column, f"{shorten(value)} is neither t nor f.")
        return _FLAGS[value]

    def json(self, column: str) -> Any:
        """A JSON value; NULL and a JSON null are None."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            raise self.wrong(column, f"{shorten(text)} is not JSON.") from None
        except RecursionError:
            raise self.wrong(column, f"{shorten(text)} is nested too deeply.") from None
        try:
            return storable_json(value)
        except UnstorableText as error:
            raise self.wrong(column, f"{shorten(text)}. {error}") from None


def shorten(value: str) -> str:
    """A value as an error message shows it: quoted, on one line, and not too long."""
    return repr(value if len(value) <= 60 else value[:59] + "…")


def check_columns(where: str, table: str, columns: Iterable[str]) -> None:
    """Raise CannotImport when a column is missing that the import needs."""
    missing = [column for column in NEEDED_COLUMNS[table] if column not in set(columns)]
    if missing:
        word = "column" if len(missing) == 1 else "columns"
        raise CannotImport(f"{where} lacks the {word} {', '.join(missing)}.")


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, BATCH_SIZE at a time."""
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch
