"""Exported sessions as text: a CSV file for spreadsheets, or JSON Lines for programs.

Generators read one batch at a time, so that a million sessions need not fit into memory. Between
batches, no cursor or transaction is open. Batches are paginated by key, so that sessions that are
created or removed during an export do not shift the others.

Both formats have the columns of `COLUMNS`, with times in ISO 8601 and UTC. With transcripts, a
line of JSON also has `messages`, and a CSV file has one row per message that repeats the columns of
its session; a session without messages still has one row.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum

from sessions_app.displayable import encodable, encodable_json, json_text
from sessions_app.keyset import rows_after
from sessions_app.models import Message, Review, Session

COLUMNS = (
    *("id", "name", "user", "agent", "platform", "created_at", "last_activity"),
    *("message_count", "input_tokens", "output_tokens", "cost", "last_outcome"),
    *("removable", "keep", "verdict", "note", "flagged", "reviewed_at", "reviewed_by"),
)
MESSAGE_COLUMNS = ("position", "role", "type", "text", "tool_calls", "tool_outputs", "chosen")
_MESSAGE_NAMES = ("message_id", "message_created_at", *MESSAGE_COLUMNS)

_NOTHING_USED = (None, None, None)
_SESSIONS_AT_ONCE = 1_000
_READ_AT_ONCE = 200  # sessions with their transcripts
_MESSAGES_AT_ONCE = 200
_BYTE_ORDER_MARK = "\ufeff"  # without it, spreadsheets guess another encoding than UTF-8
# Characters that start a formula in a spreadsheet, also full-width ones, or are ignored before one.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")

Row = dict[str, Any]
Transcript = Iterator[Row]


def batches(sessions: QuerySet[Session], *, transcripts: bool) -> Iterator[list[Row]]:
    """Yield the rows of these sessions in batches, newest first; six queries per batch."""
    size = _READ_AT_ONCE if transcripts else _SESSIONS_AT_ONCE
    newest = sessions.order_by("-created_at", "-pk").values_list("created_at", "pk")
    keys = list(newest[:size])
    while keys:
        yield _rows([pk for _, pk in keys])
        if len(keys) < size:
            return
        created_at, pk = keys[-1]
        after = rows_after([("created_at", created_at, True), ("pk", pk, True)])
        keys = list(newest.filter(after)[:size])


def as_csv(sessions: Iterable[list[Row]], *, transcripts: bool) -> Iterator[str]:
    """Yield a CSV file for spreadsheets."""
    line = _csv_writer()
    yield _BYTE_ORDER_MARK
    yield line((*COLUMNS, *(_MESSAGE_NAMES if transcripts else ())))
    for rows in sessions:
        if not transcripts:
            for row in rows:
                yield line(row.values())
            continue
        for row, messages in _with_transcripts(rows):
            written = False
            for message in messages:
                yield line((*row.values(), *(message[name] for name in _MESSAGE_NAMES)))
                written = True
            if not written:
                yield line((*row.values(), *("" for _ in _MESSAGE_NAMES)))


def as_json_lines(sessions: Iterable[list[Row]], *, transcripts: bool) -> Iterator[str]:
    """Yield one JSON object per session, each on its own line."""
    for rows in sessions:
        if not transcripts:
            for row in rows:
                yield f"{_dumped(row)}\n"
            continue
        for row, messages in _with_transcripts(rows):
            yield f'{_dumped(row).removesuffix("}")}, "messages": ['
            for number, message in enumerate(messages):
                yield f"{', ' if number else ''}{_dumped(message)}"
            yield "]}\n"


FORMATS: dict[str, Callable[..., Iterator[str]]] = {"csv": as_csv, "jsonl": as_json_lines}


def escape_formula(text: str) -> str:
    """Prefix the text with an apostrophe if a spreadsheet would treat it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _rows(ids: list[UUID]) -> list[Row]:
    """Return the rows in the order of the ids, without sessions that have been removed since."""
    sessions = Session.objects.filter(pk__in=ids)
    removable = set(sessions.removable().values_list("pk", flat=True))
    messages = Message.objects.filter(session__in=ids).order_by().values_list("session")
    counts: dict[UUID, int] = dict(messages.annotate(Count("pk")))
    stored = sessions.select_related("user", "agent", "review__reviewed_by").only(
        *("name", "platform", "created_at", "updated_at", "last_run_status", "keep"),
        *("user__username", "agent__name", "review__verdict", "review__note"),
        *("review__flagged", "review__reviewed_at", "review__reviewed_by__username"),
    )
    used = {pk: values for pk, *values in _used(sessions)}
    rows = {
        chat_session.pk: _row(
            chat_session,
            message_count=counts.get(chat_session.pk, 0),
            used=used.get(chat_session.pk, _NOTHING_USED),
            removable=chat_session.pk in removable,
        )
        for chat_session in stored
    }
    return [rows[pk] for pk in ids if pk in rows]


def _used(sessions: QuerySet[Session]) -> QuerySet[Any, tuple[Any, ...]]:
    """Return each session's total tokens and cost, as far as they are known."""
    columns = ("input_tokens", "output_tokens", "cost")
    sums = {f"all_{name}": Sum(f"runs__{name}") for name in columns}
    return sessions.order_by().annotate(**sums).values_list("pk", *sums)


def _row(chat_session: Session, *, message_count: int, used: Sequence[Any], removable: bool) -> Row:
    review: Review | None = getattr(chat_session, "review", None)
    agent: Any = chat_session.agent
    tokens_in, tokens_out, cost = used
    return {
        "id": chat_session.pk,
        "name": chat_session.name,
        "user": chat_session.user.get_username() if chat_session.user else "",
        "agent": agent.name if agent else "",
        "platform": chat_session.platform,
        "created_at": chat_session.created_at,
        "last_activity": chat_session.updated_at,
        "message_count": message_count,
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cost": cost,
        "last_outcome": chat_session.last_run_status,
        "removable": removable,
        "keep": chat_session.keep,
        "verdict": review.verdict if review else "",
        "note": review.note if review else "",
        "flagged": bool(review and review.flagged),
        "reviewed_at": review.reviewed_at if review else None,
        "reviewed_by": review.reviewed_by.get_username() if review and review.reviewed_by else "",
    }


def _with_transcripts(rows: list[Row]) -> Iterator[tuple[Row, Transcript]]:
    """Yield each row with its messages; short transcripts are read together, long ones in parts."""
    group: list[Row] = []
    expected = 0
    for row in rows:
        if group and expected + row["message_count"] > _MESSAGES_AT_ONCE:
            yield from _read_together(group)
            group, expected = [], 0
        if row["message_count"] > _MESSAGES_AT_ONCE:
            yield row, _long_transcript(row["id"])
        else:
            group.append(row)
            expected += row["message_count"]
    yield from _read_together(group)


def _read_together(rows: list[Row]) -> Iterator[tuple[Row, Transcript]]:
    # Sessions without messages were not recorded as read, so messages added since are left out.
    ids = [row["id"] for row in rows if row["message_count"]]
    transcripts: dict[UUID, list[Row]] = {}
    if ids:
        messages = _messages().filter(session__in=ids).order_by("session_id", "position")
        for message in messages:
            transcripts.setdefault(message.session_id, []).append(_message_row(message))
    for row in rows:
        yield row, iter(transcripts.get(row["id"], ()))


def _long_transcript(session_id: UUID) -> Transcript:
    position = -1
    of_session = _messages().filter(session=session_id).order_by("position")
    while messages := list(of_session.filter(position__gt=position)[:_MESSAGES_AT_ONCE]):
        yield from map(_message_row, messages)
        position = messages[-1].position


def _messages() -> QuerySet[Message]:
    return Message.objects.only(
        *("session", "position", "role", "message_type", "text_content"),
        *("tool_calls", "tool_outputs", "set_aside_with", "created_at"),
    )


def _message_row(message: Message) -> Row:
    return {
        "message_id": message.pk,
        "message_created_at": message.created_at,
        "position": message.position,
        "role": message.role,
        "type": message.message_type,
        "text": message.text_content,
        "tool_calls": message.tool_calls,
        "tool_outputs": message.tool_outputs,
        # False for other versions and the messages that follow them.
        "chosen": message.set_aside_with is None,
    }


def _csv_writer() -> Callable[[Iterable[Any]], str]:
    class Line:
        def write(self, text: str) -> str:
            return text

    writer = csv.writer(Line())

    def line(values: Iterable[Any]) -> str:
        # writerow() returns the result of write().
        text: Any = writer.writerow(list(map(_cell, values)))
        return str(text)

    return line


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return _time(value)
        case Decimal():
            return f"{value.normalize():f}"
        case dict() | list():
            return json_text(value)
    return escape_formula(encodable(str(value)))


def _dumped(row: Row) -> str:
    return f"{{{', '.join(f'{json.dumps(name)}: {_json(value)}' for name, value in row.items())}}}"


def _json(value: Any) -> str:
    match value:
        case datetime():
            value = _time(value)
        case UUID():
            value = str(value)
        case Decimal():
            value = float(value)
    try:
        return json.dumps(encodable_json(value), ensure_ascii=False)
    except (RecursionError, ValueError):  # extreme nesting or numbers
        return json.dumps("(too deep or too long to be exported)")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
