"""The chat pages. What they do is done by agents_app.services, what they show by .pages.

Every form works without JavaScript: post, wait, redirect to the answer. A script asks for
JSON instead, which says where the answer will come, or for the answer itself as it comes.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agents_app import runner, services
from agents_app.forms import MessageForm, NewChatForm, OlderForm, RenameForm, RetryForm, SearchForm
from agents_app.models import AgentRun
from agents_app.pages import chats_of, transcript_of
from agents_app.streaming import run_events, turn_event

# How long a form without JavaScript waits for the answer before it shows it unfinished.
WAIT_SECONDS = 25

_HTML, _JSON, _EVENTS = "text/html", "application/json", "text/event-stream"

_STREAM_HEADERS = {
    "Content-Type": _EVENTS,
    "Cache-Control": "no-cache",
    # No proxy may hold tokens back, and no middleware may compress them.
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
}

_STATUS: dict[type[Exception], HTTPStatus] = {
    services.ChatGone: HTTPStatus.NOT_FOUND,
    services.AgentUnavailable: HTTPStatus.BAD_REQUEST,
    services.AgentChosen: HTTPStatus.CONFLICT,
    services.AlreadyAnswering: HTTPStatus.CONFLICT,
    services.AlreadyUsed: HTTPStatus.CONFLICT,
    services.CannotRetry: HTTPStatus.CONFLICT,
}

View = Callable[..., HttpResponseBase]
Page = Callable[..., HttpResponse]


class InvalidForm(Exception):
    """What was posted is incomplete or too long; the text is the first thing to mend."""

    def __init__(self, form: Any) -> None:
        super().__init__(next(iter(form.errors.values()))[0])


def is_script(request: HttpRequest) -> bool:
    """Whether JSON or events are wanted, rather than a page."""
    return _accepted(request) in {_JSON, _EVENTS}


def refusals_on(page: Page) -> Callable[[View], View]:
    """Turn what cannot be done into HTTP, here and nowhere else.

    A script is sent the reason; a person sees it on `page`, with what they had typed, or that
    nothing is there (any more), be it that the chat is deleted while `page` is made.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, **ids: UUID) -> HttpResponseBase:
            try:
                return view(request, **ids)
            except (services.ChatError, InvalidForm) as error:
                refused: Exception = error
            if not is_script(request) and not isinstance(refused, services.ChatGone):
                # A form shows what is wrong with its own fields.
                refusal = "" if isinstance(refused, InvalidForm) else str(refused)
                try:
                    return page(request, **ids, refusal=refusal, status=_status(refused))
                except services.ChatGone as error:
                    refused = error
            return _reason(request, refused)

        return answer

    return decorate


def _status(refused: Exception) -> HTTPStatus:
    return _STATUS.get(type(refused), HTTPStatus.BAD_REQUEST)


def _reason(request: HttpRequest, refused: Exception) -> HttpResponse:
    """Why nothing was done, without the page on which it was asked for."""
    if is_script(request):
        return JsonResponse({"error": str(refused)}, status=_status(refused))
    return render(request, "404.html", {"reason": refused}, status=_status(refused))


def list_page(request: HttpRequest, *, refusal: str = "", status: int = 200) -> HttpResponse:
    """The person's chats, and the form for a new one."""
    search = SearchForm(request.GET)
    query, number = "", 1
    if search.is_valid():
        query, number = search.cleaned_data["q"], search.cleaned_data["page"] or 1
    context = {
        "new_chat": NewChatForm(request.POST or None),
        "search": search,
        "query": query,
        "list": None if search.errors else chats_of(request.user, search=query, page=number),
        "refusal": refusal,
    }
    return render(request, "agents_app/chat_list.html", context, status=status)


def chat_page(
    request: HttpRequest,
    session_id: UUID,
    run_id: UUID | None = None,
    *,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    """One chat: its last messages, or older ones, and the form for the next."""
    chat_session = services.get_session(user=_user(request), session_id=session_id)
    older = OlderForm(request.GET)
    if not older.is_valid():
        raise Http404
    before = older.cleaned_data["before"]
    posted = request.POST
    agent = chat_session.agent
    message_form = MessageForm(posted if "text" in posted else None)
    context = {
        "chat_session": chat_session,
        "agent": agent,
        # Only a chat without one is asked who is to answer.
        "choosable": [] if agent and agent.active else message_form.agents,
        "transcript": transcript_of(chat_session, before=before),
        "before": before,
        "message_form": message_form,
        "rename_form": RenameForm(
            posted if "name" in posted else None, initial={"name": chat_session.name}
        ),
        "refusal": refusal,
    }
    part = "_older" if older.cleaned_data["fragment"] else ""
    return render(request, f"agents_app/chat{part}.html", context, status=status)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@refusals_on(list_page)
def chats(request: HttpRequest) -> HttpResponseBase:
    """The list; posting to it starts a chat."""
    if request.method != "POST":
        return list_page(request)
    form = NewChatForm(request.POST)
    if not form.is_valid():
        raise InvalidForm(form)
    run, is_new = services.start_session(
        user=_user(request),
        agent_id=form.cleaned_data["agent"],
        text=form.cleaned_data["text"],
        message_id=form.cleaned_data["message_id"],
    )
    return _answering(request, run, is_new=is_new)


@login_required
@never_cache
@require_safe
@refusals_on(chat_page)
def chat(request: HttpRequest, session_id: UUID) -> HttpResponse:
    return chat_page(request, session_id)


@login_required
@never_cache
@require_POST
@refusals_on(chat_page)
def send(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    user = _user(request)
    form = MessageForm(request.POST)
    if not form.is_valid():
        services.get_session(user=user, session_id=session_id)  # a stranger learns nothing else
        raise InvalidForm(form)
    run, is_new = services.send_message(
        user=user,
        session_id=session_id,
        text=form.cleaned_data["text"],
        message_id=form.cleaned_data["message_id"],
        agent_id=form.cleaned_data["agent"],
    )
    return _answering(request, run, is_new=is_new)


@login_required
@never_cache
@require_POST
@refusals_on(chat_page)
def retry(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    user = _user(request)
    _own_run(user, session_id, run_id)
    form = RetryForm(request.POST)
    if not form.is_valid():
        raise InvalidForm(form)
    run = services.retry_run(user=user, run_id=run_id, agent_id=form.cleaned_data["agent"])
    return _answering(request, run, is_new=True)


@login_required
@never_cache
@require_POST
@refusals_on(chat_page)
def stop(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponse:
    user = _user(request)
    _own_run(user, session_id, run_id)
    was_running = services.stop_run(user=user, run_id=run_id)
    if was_running:
        runner.stopped(run_id)
    if is_script(request):
        return JsonResponse({"stopped": was_running})
    _wait(run_id)  # until what has come is stored
    return _see(_url_of(session_id, run_id))


@login_required
@require_safe
@refusals_on(chat_page)
def events(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    """The answer as it comes, as server-sent events; they may be read any number of times."""
    _own_run(_user(request), session_id, run_id)
    if request.method == "HEAD":
        return HttpResponse(headers=_STREAM_HEADERS)  # nobody waits for the answer
    return _stream(run_id)


@login_required
@never_cache
@require_POST
@refusals_on(chat_page)
def rename(request: HttpRequest, session_id: UUID) -> HttpResponse:
    user = _user(request)
    services.get_session(user=user, session_id=session_id)
    form = RenameForm(request.POST)
    if not form.is_valid():
        raise InvalidForm(form)
    name = form.cleaned_data["name"]
    services.rename_session(user=user, session_id=session_id, name=name)
    if is_script(request):
        return JsonResponse({"name": name})
    return _see(_url_of(session_id))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@refusals_on(chat_page)
def delete(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Asks first, and says how much goes."""
    user = _user(request)
    chat_session = services.get_session(user=user, session_id=session_id)
    if request.method != "POST":
        context = {"chat_session": chat_session, "count": chat_session.messages.count()}
        return render(request, "agents_app/chat_delete.html", context)
    services.delete_session(user=user, session_id=session_id)
    messages.success(request, f"Deleted “{chat_session}”.")
    return _see(reverse("chats"))


def _answering(request: HttpRequest, run: AgentRun, *, is_new: bool) -> HttpResponseBase:
    """Work on a run that is new; the response is the answer, or says where it will be."""
    if is_new:
        runner.submit(run.pk)
    if _accepted(request) == _EVENTS:
        return _stream(run.pk, first=turn_event(run))
    url = _url_of(run.session_id, run.pk)
    if _accepted(request) == _HTML:
        _wait(run.pk)
        return _see(url)
    ids = {"session_id": run.session_id, "run_id": run.pk}
    events_url = reverse("chat-events", kwargs=ids)
    return JsonResponse({"url": url, "run": str(run.pk), "events": events_url})


def _stream(run_id: UUID, *, first: bytes = b"") -> StreamingHttpResponse:
    connections.close_all()  # none is held while tokens flow
    return StreamingHttpResponse(run_events(run_id, first=first), headers=_STREAM_HEADERS)


def _wait(run_id: UUID) -> None:
    connections.close_all()  # others can use it meanwhile
    async_to_sync(runner.wait)(run_id, WAIT_SECONDS)


def _own_run(user: User, session_id: UUID, run_id: UUID) -> None:
    """Raises ChatGone unless it is a run of this chat, and the chat is the person's."""
    if services.get_run(user=user, run_id=run_id).session_id != session_id:
        raise services.ChatGone("There is no such answer.")


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)  # every view requires a login


def _accepted(request: HttpRequest) -> str | None:
    return request.get_preferred_type([_HTML, _JSON, _EVENTS])


def _url_of(session_id: UUID, run_id: UUID | None = None) -> str:
    url = reverse("chat", kwargs={"session_id": session_id})
    return f"{url}#run-{run_id}" if run_id else url


def _see(url: str) -> HttpResponse:
    """303: what was posted is done, look there with GET."""
    return HttpResponse(status=HTTPStatus.SEE_OTHER, headers={"Location": url})
