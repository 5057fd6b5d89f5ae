"""Exports chats: as Markdown for people, and as JSON for programs.

Everything here is a generator of pieces and reads a page of messages at a time, so that neither
a long chat nor thousands of them have to fit into memory. Between two pieces nothing is open in
the database.

Markdown has what the chat's page shows: the chosen line, with tool calls folded. JSON has every
message, in this shape; keys may be added to it, but none will be removed:

    {
      "format": "chat", "version": 1,
      "id", "name", "platform", "created_at", "updated_at", "pinned_at", "metadata",
      "agent": {"name", "display_name"} or null,
      "messages": [{
        "id", "position", "role", "agent", "text", "type", "created_at",
        "reasoning": of the model before it wrote the text, or null,
        "tool_calls", "tool_outputs", "run",
        "feedback": {"good", "reason"} or null,
        "version_of": the first version of an edited message, or null,
        "chosen": false for other versions and what followed them
      }],
      "runs": [{
        "id", "message": what it answers, "agent", "status", "error", "model",
        "input_tokens", "output_tokens", "created_at", "finished_at",
        "text": what was written, unless it was done
      }]
    }

Times are in ISO 8601, in UTC. Agents of messages and runs are given by name.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import IO, Any, cast

from django.contrib.auth.models import User
from django.db.models import Case, F, TextField, Value, When

from agents_app.chats.names import display_name
from agents_app.models import Agent, AgentRun
from agents_app.web.message_entries import Details, MessageEntry, message_entry, reasoning_of
from agents_app.web.transcript import messages_for_display
from sessions_app.displayable import encodable, encodable_json, json_text
from sessions_app.models import Message, Session
from sessions_app.querysets import MessageQuerySet

_MESSAGES_AT_ONCE = 200
_CHATS_AT_ONCE = 100
_PIECE = 64 * 1024  # bytes
_NAME_LENGTH = 80
# What some systems do not allow in file names, and characters that change the text's direction.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def as_markdown(chat_session: Session) -> Iterator[str]:
    """The chosen line of a chat."""
    agent = chat_session.agent
    yield f"# {' '.join(encodable(display_name(chat_session)).split())}\n\n"
    yield f"- Started: {_time(chat_session.created_at)}\n"
    yield f"- Last used: {_time(chat_session.updated_at)}\n"
    yield f"- Agent: {agent.shown_name}\n" if agent else ""
    runs = _runs(chat_session)
    by_id = {run.pk: run for run in runs}
    by_message = {run.message_id: run for run in runs}  # the latest that was to follow it
    run: Any = None
    has_rows = False
    for message in _messages(messages_for_display().chosen().filter(session=chat_session)):
        if message.role == Message.Role.USER:
            yield _ending(run, has_rows=has_rows)
            run, has_rows = by_message.get(message.pk), False
        elif message.role == Message.Role.ASSISTANT:
            run = by_message.get(message.pk) or by_id.get(message.run_id)
            has_rows = run is not None and run.pk == message.run_id
        yield _section(message)
    yield _ending(run, has_rows=has_rows)


def as_json(chat_session: Session) -> Iterator[str]:
    """The whole chat."""
    agent = chat_session.agent
    head = {
        "format": "chat",
        "version": 1,
        "id": chat_session.pk,
        "name": chat_session.name,
        "platform": chat_session.platform,
        "created_at": chat_session.created_at,
        "updated_at": chat_session.updated_at,
        "pinned_at": chat_session.pinned_at,
        "metadata": _stored(chat_session.metadata),
        "agent": agent and {"name": agent.name, "display_name": agent.display_name},
    }
    yield _dumped(head).removesuffix("}")
    yield ', "messages": ['
    every = messages_for_display().filter(session=chat_session)
    yield from _list_items(map(_message_fields, _messages(every)))
    yield '], "runs": ['
    yield from _list_items(map(_run_fields, _runs(chat_session)))
    yield "]}\n"


FORMATS: dict[str, Callable[[Session], Iterator[str]]] = {"md": as_markdown, "json": as_json}


def zip_of_chats(user: User) -> Iterator[bytes]:
    """All chats of a user but those in the trash, each in every format."""
    buffer = _Buffer()
    with zipfile.ZipFile(cast("IO[bytes]", buffer), "w") as archive:
        for chat_session in _chats(user):
            for ending, pieces in FORMATS.items():
                name = f"{file_name(chat_session)} {chat_session.pk.hex[:8]}.{ending}"
                entry = zipfile.ZipInfo(name, _zip_time(chat_session.updated_at))
                entry.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(entry, "w") as file:
                    for piece in pieces(chat_session):
                        file.write(piece.encode())
                        if len(buffer.content) > _PIECE:
                            yield buffer.take()
    yield buffer.take()


def file_name(chat_session: Session) -> str:
    """A name for the chat's file, without an ending, that every system allows."""
    name = _NOT_IN_NAMES.sub(" ", encodable(display_name(chat_session)))
    shown = " ".join(name.split())[:_NAME_LENGTH].strip(". ") or "Chat"
    return f"{chat_session.created_at.isoformat()[:10]} {shown}"


class _Buffer:
    """A file that cannot seek, whose content is taken out from time to time."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)

    def flush(self) -> None:
        """zipfile calls it."""

    def take(self) -> bytes:
        taken, self.content = bytes(self.content), bytearray()
        return taken


def _chats(user: User) -> Iterator[Session]:
    """Last used first, without those that are deleted in the meantime."""
    own = Session.objects.for_user(user)
    listed = own.exclude(pk__in=own.removable()).order_by("-updated_at", "pk")
    ids = list(listed.values_list("pk", flat=True))
    for start in range(0, len(ids), _CHATS_AT_ONCE):
        batch = ids[start : start + _CHATS_AT_ONCE]
        chats = own.with_opening().select_related("agent").in_bulk(batch)
        yield from (chats[pk] for pk in batch if pk in chats)


def _messages(messages: MessageQuerySet) -> Iterator[Message]:
    """The messages of a chat in order, read a page at a time."""
    ordered = messages.order_by("position")
    last = -1
    while page := list(ordered.filter(position__gt=last)[:_MESSAGES_AT_ONCE]):
        yield from page
        last = page[-1].position


def _runs(chat_session: Session) -> list[Any]:
    runs = AgentRun.objects.filter(session=chat_session).select_related("agent")
    # The text of a finished one is stored as a message.
    is_done = When(status=AgentRun.Status.DONE, then=Value(""))
    unfinished = Case(is_done, default=F("text"), output_field=TextField())
    runs = runs.defer("text").annotate(unfinished_text=unfinished)
    return list(runs.order_by("created_at", "pk"))


def _section(message: Message) -> str:
    """A message in Markdown: the user's words as a quotation, which nothing in them can end."""
    entry = message_entry(message)
    text = encodable(message.text_content)
    reasoning = [entry.reasoning] if entry.reasoning else []
    parts = [_folded(details) for details in (*reasoning, *entry.before)]
    if message.role == Message.Role.USER:
        parts.append("\n".join(f"> {line}" for line in text.splitlines()))
    elif message.role == Message.Role.ASSISTANT:
        parts.append(with_fences_closed(text))
    parts += [_folded(details) for details in entry.after]
    if message.role == Message.Role.USER:
        author = "You"
    elif message.role == Message.Role.ASSISTANT:
        author = message.agent.shown_name if message.agent else "Agent"
    else:
        author = message.get_role_display()
    shown = "\n\n".join(filter(None, parts))
    return f"\n## {author}, {_time(message.created_at)}\n\n{shown}\n"


def _ending(run: Any, *, has_rows: bool) -> str:
    """How an answer ended, unless it is complete, and the text of one that is not stored."""
    if run is None:
        return ""
    if run.is_active:
        outcome = "The answer is being written."
    elif run.status == AgentRun.Status.DONE:
        outcome = "The answer reached the length limit." if run.is_truncated else ""
    else:
        outcome = encodable(f"{run.get_status_display()}. {run.public_error}").strip()
    text = with_fences_closed(encodable(run.unfinished_text))
    shown = "\n\n".join(filter(None, [text, f"*{outcome}*" if outcome else ""]))
    if has_rows or not shown:
        return f"\n{shown}\n" if shown else ""
    author = run.agent.shown_name if run.agent else "Agent"
    return f"\n## {author}, {_time(run.created_at)}\n\n{shown}\n"


def _folded(details: Details) -> str:
    """Details, within a fence that is longer than any in them."""
    longest = max(map(len, re.findall(r"`{3,}", details.text)), default=2)
    fence = "`" * (longest + 1)
    summary = escape(" ".join(details.summary.split()), quote=False)
    return (
        f"<details>\n<summary>{summary}</summary>\n\n"
        f"{fence}\n{encodable(details.text)}\n{fence}\n\n</details>"
    )


def with_fences_closed(text: str) -> str:
    """The Markdown with its last code block closed, in which an answer may have been stopped."""
    opened = ""
    for line in text.split("\n"):
        match = _FENCE.fullmatch(line.rstrip("\r"))
        if match is None:
            continue
        fence, rest = match.groups()
        if not opened:
            # Backticks after backticks on one line are code within the line.
            opened = "" if fence[0] == "`" and "`" in rest else fence
        elif fence.startswith(opened) and not rest.strip():
            opened = ""
    return f"{text}\n{opened}" if opened else text


def _message_fields(message: Message) -> dict[str, Any]:
    feedback = MessageEntry(message).feedback
    return {
        "id": message.pk,
        "position": message.position,
        "role": message.role,
        "agent": _name(message.agent) or None,
        "text": message.text_content,
        "type": message.message_type,
        "created_at": message.created_at,
        "reasoning": reasoning_of(message) or None,
        "tool_calls": _stored(message.tool_calls),
        "tool_outputs": _stored(message.tool_outputs),
        "run": message.run_id,
        "feedback": feedback and {"good": feedback.is_good, "reason": feedback.reason},
        "version_of": message.version_of,
        "chosen": message.set_aside_with is None,
    }


def _run_fields(run: Any) -> dict[str, Any]:
    return {
        "id": run.pk,
        "message": run.message_id,
        "agent": _name(run.agent) or None,
        "status": run.status,
        "error": run.public_error,
        "model": run.model,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "text": run.unfinished_text,
    }


def _list_items(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    separator = "\n"
    for item in items:
        yield separator + _dumped(item)
        separator = ",\n"


def _dumped(value: object) -> str:
    return json.dumps(encodable_json(value), ensure_ascii=False, default=_json_default)


def _json_default(value: object) -> str:
    return _time(value) if isinstance(value, datetime) else str(value)


def _stored(value: object) -> object:
    """A stored JSON value, as text if it cannot be read back."""
    try:
        json.dumps(value, allow_nan=False)
    except (RecursionError, ValueError):
        return json_text(value)
    return value


def _name(agent: Agent | None) -> str:
    return agent.name if agent else ""


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _zip_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    """What a zip can hold: no year before 1980 or after 2107."""
    year = min(max(moment.year, 1980), 2107)
    return (year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
