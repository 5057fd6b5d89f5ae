"""The views of a chat, and of the list of chats, which has the form for a new one.

They call the use-cases in agents_app.services. What the pages show is put together in .pages; it
is read by .transcript, .chat_lists, .search and .agent_choice.

Every form works without JavaScript: post, wait, redirect to the answer. A script asks for
events, the answer as it is written, or for JSON, which says where the answer will be.
"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agents_app import services
from agents_app.chats import get_run, get_session
from agents_app.web.errors import InvalidForm, render_domain_errors
from agents_app.web.forms import MessageForm, NewChatForm, RetryForm
from agents_app.web.http import EVENTS, chat_url, current_user, is_script, preferred_type, redirect
from agents_app.web.login_required import login_required
from agents_app.web.pages import chat_page, list_page
from agents_app.web.run_responses import STREAM_HEADERS, run_response, stream, stream_new_chat, wait
from agents_app.web.transcript import read_turn_again


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(list_page)
def chats(request: HttpRequest) -> HttpResponseBase:
    """The list; posting to it starts a chat."""
    if request.method != "POST":
        return list_page(request)
    form = NewChatForm(request.POST)
    if not form.is_valid():
        raise InvalidForm(form)
    run = services.start_session(
        user=current_user(request),
        agent_id=form.cleaned_data["agent"],
        text=form.cleaned_data["text"],
        message_id=form.cleaned_data["message_id"],
    )
    if preferred_type(request) == EVENTS:
        return stream_new_chat(run)
    return run_response(request, run)


@login_required
@never_cache
@require_safe
@render_domain_errors(chat_page)
def chat(request: HttpRequest, session_id: UUID) -> HttpResponse:
    return chat_page(request, session_id)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def send(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    user = current_user(request)
    form = MessageForm(request.POST)
    if not form.is_valid():
        get_session(user=user, session_id=session_id)  # other users get 404 in any case
        raise InvalidForm(form)
    run = services.send_message(
        user=user,
        session_id=session_id,
        text=form.cleaned_data["text"],
        message_id=form.cleaned_data["message_id"],
        agent_id=form.cleaned_data["agent"],
        switch=not form.cleaned_data["is_substitute"],
    )
    return run_response(request, run)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def retry(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    user = current_user(request)
    form = RetryForm(request.POST)
    if not form.is_valid():
        get_run(user=user, session_id=session_id, run_id=run_id)
        raise InvalidForm(form)
    run = services.retry_run(
        user=user, session_id=session_id, run_id=run_id, agent_id=form.cleaned_data["agent"]
    )
    return run_response(request, run, read=read_turn_again)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def stop(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponse:
    was_active = services.stop_run(user=current_user(request), session_id=session_id, run_id=run_id)
    if is_script(request):
        return JsonResponse({"stopped": was_active})
    wait(run_id)  # until the text so far is stored
    return redirect(chat_url(session_id, run_id))


@login_required
@require_safe
@render_domain_errors(chat_page)
def events(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    """The server-sent events of a run; they can be read any number of times."""
    run = get_run(user=current_user(request), session_id=session_id, run_id=run_id)
    if request.method == "HEAD":
        return HttpResponse(headers=STREAM_HEADERS)  # without waiting for the run
    return stream(run)
