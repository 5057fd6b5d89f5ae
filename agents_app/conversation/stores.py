"""Where a MessageHistory keeps its rows: in a stored session, or in memory only."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from uuid import UUID

from django.db.models import QuerySet

from sessions_app.models import Message
from sessions_app.writing import append_messages

# Rows per query while a model's context is filled from the newest message back.
BATCH_SIZE = 50

# The columns that the codec reads.
_COLUMNS = (
    *("id", "position", "role", "text_content", "tool_calls", "tool_outputs"),
    *("model_message", "created_at"),
)


class MessageStore(ABC):
    """Rows, ordered by position."""

    @abstractmethod
    def all(self) -> list[Message]:
        """Every row."""

    @abstractmethod
    def count(self) -> int:
        """The number of rows."""

    @abstractmethod
    def slice(self, start: int, stop: int, *, from_end: bool) -> list[Message]:
        """The rows `[start:stop]`, in order; with `from_end`, counted back from the last row."""

    @abstractmethod
    def batches_newest_first(self, before: int | None) -> Iterator[list[Message]]:
        """The rows (before a position) in batches, newest batch first, each in order."""

    @abstractmethod
    def latest_system_prompt(self, before: int | None = None) -> Message | None:
        """The last system prompt (before a position)."""

    @abstractmethod
    def append(self, rows: list[Message]) -> None:
        """Add unsaved rows at the end: all of them, or none. Raises SessionGone."""

    @abstractmethod
    def clear(self) -> None:
        """Delete every row."""


class InMemoryStore(MessageStore):
    """Rows in memory."""

    def __init__(self) -> None:
        self._rows: list[Message] = []

    def all(self) -> list[Message]:
        return list(self._rows)

    def count(self) -> int:
        return len(self._rows)

    def slice(self, start: int, stop: int, *, from_end: bool) -> list[Message]:
        if from_end:
            return self._rows[::-1][start:stop][::-1]
        return self._rows[start:stop]

    def batches_newest_first(self, before: int | None) -> Iterator[list[Message]]:
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


class DatabaseStore(MessageStore):
    """The rows of a session: those on the chosen line."""

    def __init__(self, session_id: UUID) -> None:
        self.session_id = session_id

    def all(self) -> list[Message]:
        return list(self._rows())

    def count(self) -> int:
        return self._rows().count()

    def slice(self, start: int, stop: int, *, from_end: bool) -> list[Message]:
        if from_end:
            return list(self._rows().reverse()[start:stop])[::-1]
        return list(self._rows()[start:stop])

    def batches_newest_first(self, before: int | None) -> Iterator[list[Message]]:
        while batch := list(self._rows(before).reverse()[:BATCH_SIZE])[::-1]:
            yield batch
            before = batch[0].position

    def latest_system_prompt(self, before: int | None = None) -> Message | None:
        return self._rows(before).filter(role=Message.Role.SYSTEM).last()

    def append(self, rows: list[Message]) -> None:
        for row in rows:
            row.session_id = self.session_id
        append_messages(rows)

    def clear(self) -> None:
        Message.objects.filter(session=self.session_id).delete()

    def _rows(self, before: int | None = None) -> QuerySet[Message]:
        rows = Message.objects.chosen().filter(session=self.session_id)
        if before is not None:
            rows = rows.filter(position__lt=before)
        return rows.order_by("position").only(*_COLUMNS)
