"""Checks and parses the rows of an Automagik database; CannotImport says where a bad one is."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from django.utils.translation import ngettext

from sessions_app.displayable import printable
from sessions_app.storable import UnstorableText, storable_json

# Versions of Automagik differ in other columns: agents lost system_prompt, sessions gained
# run_finished_at, messages gained channel_payload.
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

# Small enough that the ids of a batch fit into one query on every SQLite.
BATCH_SIZE = 500

_BOOLEANS = {"t": True, "true": True, "f": False, "false": False}


class CannotImport(Exception):
    """The source cannot be imported; the text says where and why.

    Always one printable line: it ends up on terminals, and may quote the source's values and
    its server's messages.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(printable(problem))


@dataclass(frozen=True, slots=True)
class Row:
    """A row as PostgreSQL's COPY writes it: every value is text or, for NULL, None."""

    location: str
    values: dict[str, str | None]

    def error(self, column: str, problem: str) -> CannotImport:
        """The error to raise for a bad value of a column."""
        return CannotImport(f"{self.location}, column {column}: {problem}")

    def text(self, column: str) -> str:
        """A text; empty for NULL and for a column that the source does not have."""
        return self.values.get(column) or ""

    def uuid(self, column: str) -> UUID:
        """A UUID; NULL is an error."""
        value = self.text(column)
        try:
            return UUID(value)
        except ValueError:
            raise self.error(column, f"{shorten(value)} is not a UUID.") from None

    def key(self, column: str) -> str | None:
        """The id of a user or an agent, a whole number or a UUID, in comparable form."""
        value = self.text(column)
        if not value:
            return None
        try:
            return str(int(value) if value.isascii() and value.isdigit() else UUID(value))
        except ValueError:
            raise self.error(
                column, f"{shorten(value)} is neither a whole number nor a UUID."
            ) from None

    def own_key(self) -> str:
        """The id of this row, a user or an agent, as `key` returns it."""
        key = self.key("id")
        if key is None:
            raise self.error("id", "is empty.")
        return key

    def time(self, column: str) -> datetime | None:
        """A point in time; UTC when the zone is missing."""
        value = self.text(column)
        if not value:
            return None
        try:
            time = parse_datetime(value)
            if time is not None:
                return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise self.error(column, f"{shorten(value)} is not a date and time.")

    def boolean(self, column: str, *, default: bool) -> bool:
        """A boolean; NULL is the default."""
        value = self.text(column).lower()
        if not value:
            return default
        if value not in _BOOLEANS:
            raise self.error(column, f"{shorten(value)} is neither t nor f.")
        return _BOOLEANS[value]

    def json(self, column: str) -> Any:
        """A JSON value; NULL and a JSON null are None."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            raise self.error(column, f"{shorten(text)} is not JSON.") from None
        except RecursionError:
            raise self.error(column, f"{shorten(text)} is nested too deeply.") from None
        try:
            return storable_json(value)
        except UnstorableText as error:
            raise self.error(column, f"{shorten(text)}. {error}") from None


def shorten(value: str) -> str:
    """A value for an error message: quoted, on one line, at most 60 characters."""
    return repr(value if len(value) <= 60 else value[:59] + "…")


def check_columns(location: str, table: str, columns: Iterable[str]) -> None:
    """Raise CannotImport when a needed column is missing."""
    missing = [column for column in NEEDED_COLUMNS[table] if column not in set(columns)]
    if missing:
        noun = ngettext("column", "columns", len(missing))
        raise CannotImport(f"{location} lacks the {noun} {', '.join(missing)}.")


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, BATCH_SIZE at a time."""
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch
