"""Where the rows of a history live: in a stored session, or in memory only."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from uuid import UUID

from sessions_app.models import Message
from sessions_app.querysets import MessageQuerySet
from sessions_app.writing import append_messages

# How many rows are loaded at a time until a model's context is full.
CHUNK = 50

# What a ModelMessage is made of.
_COLUMNS = (
    *("id", "position", "role", "text_content", "tool_calls", "tool_outputs"),
    *("model_message", "created_at"),
)


class MessageRows(ABC):
    """Rows in the order of their positions."""

    @abstractmethod
    def all(self) -> list[Message]:
        """Every row."""

    @abstractmethod
    def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def stretch(self, first: int, last: int, *, from_end: bool) -> list[Message]:
        """Those from number `first` up to but without `last`; the count may start at the end."""

    @abstractmethod
    def chunks_from_end(self, before: int | None) -> Iterator[list[Message]]:
        """The rows (before a position) in chunks, the last one first; each is in order."""

    @abstractmethod
    def latest_system_prompt(self, before: int | None = None) -> Message | None:
        """The last row (before a position) that is a system prompt."""

    @abstractmethod
    def append(self, rows: list[Message]) -> None:
        """Add unsaved rows at the end: all of them, or none."""

    @abstractmethod
    def clear(self) -> None:
        """Delete every row."""


class LocalRows(MessageRows):
    """Rows in memory."""

    def __init__(self) -> None:
        self._rows: list[Message] = []

    def all(self) -> list[Message]:
        return list(self._rows)

    def count(self) -> int:
        return len(self._rows)

    def stretch(self, first: int, last: int, *, from_end: bool) -> list[Message]:
        if from_end:
            return self._rows[::-1][first:last][::-1]
        return self._rows[first:last]

    def chunks_from_end(self, before: int | None) -> Iterator[list[Message]]:
        yield self._before(before)

    def latest_system_prompt(self, before: int | None = None) -> Message | None:
        prompts = [row for row in self._before(before) if row.role == Message.Role.SYSTEM]
        return prompts[-1] if prompts else None

    def append(self, rows: list[Message]) -> None:
        for position, row in enumerate(rows, start=len(self._rows) + 1):
            row.position = position
        self._rows += rows

    def clear(self) -> None:
        self._rows = []

    def _before(self, position: int | None) -> list[Message]:
        return [row for row in self._rows if position is None or row.position < position]


class StoredRows(MessageRows):
    """The rows of a session."""

    def __init__(self, session_id: UUID) -> None:
        self.session_id = session_id

    def all(self) -> list[Message]:
        return list(self._rows())

    def count(self) -> int:
        return self._rows().count()

    def stretch(self, first: int, last: int, *, from_end: bool) -> list[Message]:
        if from_end:
            return list(self._rows().reverse()[first:last])[::-1]
        return list(self._rows()[first:last])

    def chunks_from_end(self, before: int | None) -> Iterator[list[Message]]:
        while chunk := list(self._rows(before).reverse()[:CHUNK])[::-1]:
            yield chunk
            before = chunk[0].position

    def latest_system_prompt(self, before: int | None = None) -> Message | None:
        return self._rows(before).filter(role=Message.Role.SYSTEM).last()

    def append(self, rows: list[Message]) -> None:
        for row in rows:
            row.session_id = self.session_id
        append_messages(rows)

    def clear(self) -> None:
        Message.objects.filter(session=self.session_id).delete()

    def _rows(self, before: int | None = None) -> MessageQuerySet:
        rows = Message.objects.filter(session=self.session_id)
        if before is not None:
            rows = rows.filter(position__lt=before)
        return rows.order_by("position").only(*_COLUMNS)
