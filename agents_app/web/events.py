"""Server-sent events for the chat page: a run as HTML, while it is answering.

`text` events, then one `end`. A `text` event has the changes since the previous one, as `Delta` in
agents_app.web.rendering.incremental_markdown describes; the first one of a response has all of the
text so far. `reasoning` events have the model's reasoning, if this process works on the run: HTML
that continues from event to event, and begins with the folded element around it. `tools` events
have the names of the tools that are being used, if this process works on the run; none once they
are done. `waiting` events have the queue position of a run that has not started. Before them, the
response to a posted form has the `turn` that it started, or the new `chat`: its transcript, name
and URL, for which the page has a frame (chat_frame.html). The `html` of `end` leaves out text that
is already on the page; that of `waiting` and `tools` is empty, and only there for the scripts of
tabs that were opened before an upgrade.

They are rendered without the request, so their forms have no CSRF token: the page's script sends
the page's own.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import escape

from agents_app.chats.names import display_name
from agents_app.models import AgentRun
from agents_app.runs import watching
from agents_app.runs.db_threads import run_in_db_thread_with_retries
from agents_app.runs.local_broadcast import Outcome, Piece, Reasoning, Signal, ToolUse
from agents_app.sse import KEEP_ALIVE, QUIET_SECONDS, encode_event
from agents_app.web.http import chat_url
from agents_app.web.message_entries import reasoning_details
from agents_app.web.rendering.incremental_markdown import Delta, IncrementalMarkdown
from agents_app.web.transcript import TranscriptPage, Turn, read_turn
from sessions_app.models import Session

# The pause after a `text` event. It grows with the time that the rendering took, so that a long
# block does not keep the server busy, and with the number of open streams, so that many of
# them cost little more than a few.
_MIN_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 1.0
_PAUSE_PER_RENDERING = 10
_PAUSE_PER_STREAM = 0.004
_LONG = 2_000  # characters, which would block the event loop for too long


def chat_event(chat_session: Session, transcript: TranscriptPage) -> bytes:
    """A new chat: its transcript, its name, and the URL and title of its page."""
    context = {"chat_session": chat_session, "transcript": transcript, "has_script": True}
    html = render_to_string("agents_app/transcript.html", context)
    name = display_name(chat_session)
    title = f"{name} – {settings.PRODUCT_NAME}"
    url = chat_url(chat_session.pk)
    return encode_event({"html": html, "url": url, "title": title, "name": name}, name="chat")


def turn_event(run: AgentRun, *, read: Callable[[AgentRun], Turn] = read_turn) -> bytes:
    """The turn that a run answers."""
    html = render_to_string("agents_app/turn.html", {"turn": read(run), "has_script": True})
    return encode_event({"html": html}, name="turn")


def run_events(
    run_id: UUID, *, id_prefix: str = "", render_first: Callable[[], bytes] | None = None
) -> AsyncGenerator[bytes]:
    """The events of a run of any process, after a first one that is rendered right away."""
    # Followed before the rendering, during which a quick run may end.
    pieces = watching.follow(run_id, quiet_seconds=QUIET_SECONDS)
    return _run_events(run_id, pieces, id_prefix, render_first() if render_first else b"")


_open_streams = 0


async def _run_events(
    run_id: UUID,
    pieces: AsyncGenerator[Piece],
    id_prefix: str,
    first: bytes,
) -> AsyncGenerator[bytes]:
    global _open_streams
    _open_streams += 1
    try:
        if first:
            yield first
        text = IncrementalMarkdown(id_prefix=id_prefix)
        has_reasoning = False
        outcome: Outcome | None = None
        async with aclosing(pieces):
            async for piece in pieces:
                if piece is Signal.QUIET or piece is Signal.WAITING:
                    has_started = bool(text.text) or has_reasoning
                    yield KEEP_ALIVE if has_started else await _waiting_event(run_id)
                elif piece is Signal.RESTARTED:
                    text = IncrementalMarkdown(id_prefix=id_prefix)
                    yield _text_event(Delta(keep=0, html="", reset=True))
                elif isinstance(piece, Outcome):
                    outcome = piece
                elif isinstance(piece, Reasoning):
                    if more := piece.text if has_reasoning else piece.text.lstrip():
                        yield _reasoning_event(more, is_first=not has_reasoning)
                        has_reasoning = True
                        await asyncio.sleep(_pause(0.0))
                elif isinstance(piece, ToolUse):
                    yield _tools_event(piece)
                elif isinstance(piece, str):
                    started = time.perf_counter()
                    yield _text_event(await _append(text, piece))
                    await asyncio.sleep(_pause(time.perf_counter() - started))
        for event in await _end_events(run_id, outcome, text):
            yield event
    except Exception:
        # The response has begun with status 200: only an event can tell the page of the failure.
        yield encode_event({"status": "failed", "html": ""}, name="end")
        raise
    finally:
        _open_streams -= 1


def _pause(rendering_seconds: float) -> float:
    pause = max(_PAUSE_PER_RENDERING * rendering_seconds, _PAUSE_PER_STREAM * _open_streams)
    return min(max(_MIN_PAUSE_SECONDS, pause), _MAX_PAUSE_SECONDS)


async def _waiting_event(run_id: UUID) -> bytes:
    place = await run_in_db_thread_with_retries(AgentRun.objects.queue_position, run_id)
    if place is None:
        return KEEP_ALIVE
    return encode_event({"html": "", "place": place}, name="waiting")


async def _append(text: IncrementalMarkdown, piece: str) -> Delta:
    if text.open_length + len(piece) < _LONG:
        return text.append(piece)
    return await asyncio.to_thread(text.append, piece)


def _text_event(delta: Delta) -> bytes:
    changes = {"keep": delta.keep, "finish": delta.finish, "reset": delta.reset}
    data = {"html": delta.html, **{k: v for k, v in changes.items() if v}}
    return encode_event(data, name="text")


def _reasoning_event(text: str, *, is_first: bool) -> bytes:
    opening = ""
    if is_first:
        details = replace(reasoning_details(""), summary="Thinking…")
        whole = render_to_string("agents_app/details.html", {"details": details})
        opening, _, _ = whole.rpartition("</div>")
    return encode_event({"html": opening + escape(text)}, name="reasoning")


def _tools_event(use: ToolUse) -> bytes:
    message = use.message
    calls = message.tool_calls if message.kind == "response" else []
    names = ", ".join(dict.fromkeys(call.tool_name for call in calls))
    return encode_event({"html": "", "names": names}, name="tools")


async def _end_events(
    run_id: UUID, outcome: Outcome | None, text: IncrementalMarkdown
) -> list[bytes]:
    """The end of a run, after the rest of a text that is already on the page."""
    if outcome is None or outcome.run.is_continuation:
        turn = await run_in_db_thread_with_retries(_load_turn, run_id)
    else:
        turn = read_turn(outcome.run, outcome.rows)
    if turn is None:
        return [encode_event({"status": "deleted", "html": ""}, name="end")]
    stored = [entry.message.text_content for entry in turn.entries]
    if not text.text or len(stored) != 1 or not stored[0].startswith(text.text):
        return [await asyncio.to_thread(_turn_end_event, turn)]
    rest = stored[0].removeprefix(text.text)
    last = [_text_event(await _append(text, rest))] if rest else []
    return [*last, _turn_end_event(turn, is_shown=True)]


def _load_turn(run_id: UUID) -> Turn | None:
    run = watching.load_run(run_id)
    return None if run is None else read_turn(run)


def _turn_end_event(turn: Turn, *, is_shown: bool = False) -> bytes:
    context = {"turn": turn, "is_shown": is_shown}
    html = render_to_string("agents_app/answer.html", context)
    return encode_event({"status": turn.status, "html": html}, name="end")
