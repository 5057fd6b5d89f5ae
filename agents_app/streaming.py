"""What a watcher of a run is sent: its text as it comes, and how it ended.

Server-sent events, read with `fetch`: `text` events, then one `end`. A text event has what is
new as `text`, and everything so far as `html`. Whoever connects (again) is sent everything so
far first. A watcher has no part in the run: it may come and go.

HTML is made here outside of requests, so that its forms have no CSRF token: the script that
puts it into the page sends the page's own.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from django.template.loader import render_to_string
from django.utils.html import format_html

from agents_app import live, liveness
from agents_app.database import in_database_at_last
from agents_app.models import AgentRun
from agents_app.pages import turn_of
from agents_app.rendering import markdown

KEEP_ALIVE_SECONDS = 15
_POLL_SECONDS = 0.3
# Between two texts, which are rendered from the beginning each time: a page need not change
# more often, and a long answer must not keep the server busy. Nor must the end wait for long.
_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_PAUSE_FACTOR = 10
_SHORT = 40  # characters: the first words come as they are, at once
_KEEP_ALIVE = b": still here\n\n"


def turn_event(run: AgentRun) -> bytes:
    """The turn as it begins, for a page that shows what it has just sent."""
    html = render_to_string("agents_app/turn.html", {"turn": turn_of(run)})
    return _event("turn", {"html": html})


def run_events(run_id: UUID, *, first: bytes = b"") -> AsyncGenerator[bytes]:
    """The events of a run that exists, whichever process works on it, after a `first` one."""
    # Now, and not when the first of them is asked for: by then a quick run may be over.
    return _run_events(run_id, live.get_run(run_id), first)


async def _run_events(
    run_id: UUID, running: live.LiveRun | None, first: bytes
) -> AsyncGenerator[bytes]:
    try:
        if first:
            yield first
        follow = _from_memory(running) if running else _from_row(run_id)
        so_far = ""
        async with aclosing(follow) as pieces:
            async for piece in pieces:
                if piece:
                    so_far += piece
                    started = time.perf_counter()
                    event = _event("text", {"text": piece, "html": await _rendered(so_far)})
                    pause = _PAUSE_FACTOR * (time.perf_counter() - started)
                    yield event
                    await asyncio.sleep(min(max(_PAUSE_SECONDS, pause), _LONGEST_PAUSE_SECONDS))
                else:
                    yield _KEEP_ALIVE
        yield await in_database_at_last(_end_event, run_id)
    except Exception:
        # The answer has begun with status 200; the page must still hear that it is over.
        yield _event("end", {"status": "failed", "html": ""})
        raise


async def _rendered(text: str) -> str:
    """The text as HTML, made beside the event loop."""
    if len(text) < _SHORT:
        return format_html('<p dir="auto">{}</p>', text)
    return await asyncio.to_thread(markdown, text)


def _from_memory(running: live.LiveRun) -> AsyncGenerator[str]:
    """The pieces of a run of this process; an empty one when nothing has come for a while."""
    return running.follow(quiet_seconds=KEEP_ALIVE_SECONDS)


async def _from_row(run_id: UUID) -> AsyncGenerator[str]:
    """The same for a run of another process, from what that saves a few times a second."""
    liveness.start()  # that process may have died, which somebody has to notice
    sent, quiet = 0, 0.0
    while not live.is_closed():
        run = await in_database_at_last(_read, run_id)
        if run is None:
            return
        if len(run.text) > sent:
            yield run.text[sent:]
            sent, quiet = len(run.text), 0.0
        elif quiet >= KEEP_ALIVE_SECONDS:
            yield ""
            quiet = 0.0
        if not run.is_active:
            return
        await asyncio.sleep(_POLL_SECONDS)
        quiet += _POLL_SECONDS


def _read(run_id: UUID) -> AgentRun | None:
    return AgentRun.objects.filter(pk=run_id).first()


def _end_event(run_id: UUID) -> bytes:
    run = AgentRun.objects.select_related("agent", "message").filter(pk=run_id).first()
    if run is None:
        return _event("end", {"status": "deleted", "html": ""})
    html = render_to_string("agents_app/answer.html", {"turn": turn_of(run)})
    return _event("end", {"status": run.status, "html": html})


def _event(name: str, data: dict[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
