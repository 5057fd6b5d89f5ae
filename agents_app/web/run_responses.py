"""The responses to requests that start a run: its events, its page, or the URLs of both."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.db import connections
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from agents_app import sse
from agents_app.models import AgentRun
from agents_app.runs import watching
from agents_app.web.events import chat_event, run_events, turn_event
from agents_app.web.http import EVENTS, HTML, chat_url, preferred_type, redirect
from agents_app.web.message_entries import id_prefix
from agents_app.web.transcript import TranscriptPage, Turn, read_transcript, read_turn

# How long a form without JavaScript waits for the answer before the page shows it unfinished.
WAIT_SECONDS = 25


def run_response(
    request: HttpRequest, run: AgentRun, *, read: Callable[[AgentRun], Turn] = read_turn
) -> HttpResponseBase:
    """The run's events, its page, or the URLs of both, as the request prefers."""
    preferred = preferred_type(request)
    if preferred == EVENTS:
        return stream(run, render_first=partial(turn_event, run, read=read))
    url = chat_url(run.session_id, run.pk)
    if preferred == HTML:
        wait(run.pk)
        return redirect(url)
    ids = {"session_id": run.session_id, "run_id": run.pk}
    events_url = reverse("chat-events", kwargs=ids)
    return JsonResponse({"url": url, "run": str(run.pk), "events": events_url})


def stream_new_chat(run: AgentRun) -> StreamingHttpResponse:
    """The run's chat, to be shown in place of the form, and then the run's events."""
    chat_session = run.session
    if run.is_active:
        transcript = TranscriptPage([read_turn(run)])
    else:  # a second submit of the form, after which the chat may have been continued
        transcript = read_transcript(chat_session)
    active_run = transcript.active_run or run
    return stream(active_run, render_first=partial(chat_event, chat_session, transcript))


def stream(
    run: AgentRun, *, render_first: Callable[[], bytes] | None = None
) -> StreamingHttpResponse:
    prefix = id_prefix(run.message)
    events = run_events(run.pk, id_prefix=prefix, render_first=render_first)
    connections.close_all()  # hold none while the stream is open
    return StreamingHttpResponse(events, headers=sse.HEADERS)


def wait(run_id: UUID) -> None:
    watching.wait_in_thread(run_id, WAIT_SECONDS)
