"""What a watcher of a run is sent: its text as it comes, and how it ended.

Server-sent events, read with `fetch`: `text` events, then one `end`. Whoever connects (again)
is sent everything so far first. A watcher has no part in the run: it may come and go.

HTML is made here outside of requests, so that its forms have no CSRF token: the script that
puts it into the page sends the page's own.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from uuid import UUID

from django.template.loader import render_to_string

from agents_app import live
from agents_app.database import in_database
from agents_app.models import AgentRun
from agents_app.pages import turn_of

KEEP_ALIVE_SECONDS = 15
_POLL_SECONDS = 0.3
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
        if running is not None:
            async with aclosing(running.follow(quiet_seconds=KEEP_ALIVE_SECONDS)) as pieces:
                async for piece in pieces:
                    yield _text(piece) if piece else _KEEP_ALIVE
        else:
            async for frame in _from_row(run_id):
                yield frame
        yield await _end(run_id)
    except Exception:
        # The answer has begun with status 200; the page must still hear that it is over.
        yield _event("end", {"status": "failed", "html": ""})
        raise


async def _from_row(run_id: UUID) -> AsyncIterator[bytes]:
    """The same for a run of another process, from what that saves a few times a second."""
    sent, quiet = 0, 0.0
    while True:
        run = await in_database(_read, run_id)
        if run is None:
            return
        if len(run.text) > sent:
            yield _text(run.text[sent:])
            sent, quiet = len(run.text), 0.0
        elif quiet >= KEEP_ALIVE_SECONDS:
            yield _KEEP_ALIVE
            quiet = 0.0
        if not run.is_active:
            return
        await asyncio.sleep(_POLL_SECONDS)
        quiet += _POLL_SECONDS


def _read(run_id: UUID) -> AgentRun | None:
    AgentRun.objects.mark_silent_as_interrupted()
    return AgentRun.objects.filter(pk=run_id).first()


async def _end(run_id: UUID) -> bytes:
    return await in_database(_end_event, run_id)


def _end_event(run_id: UUID) -> bytes:
    run = AgentRun.objects.select_related("agent", "message").filter(pk=run_id).first()
    if run is None:
        return _event("end", {"status": "deleted", "html": ""})
    html = render_to_string("agents_app/answer.html", {"turn": turn_of(run)})
    return _event("end", {"status": run.status, "html": html})


def _text(piece: str) -> bytes:
    return _event("text", {"text": piece})


def _event(name: str, data: dict[str, str]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
