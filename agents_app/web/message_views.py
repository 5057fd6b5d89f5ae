"""The views of a message and its answer: send, edit, regenerate, choose a version, read raw.

The forms work like those of agents_app.web.chat_views.
"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agents_app import services
from agents_app.chats.lookups import get_question
from agents_app.web.chat_pages import chat_page
from agents_app.web.errors import add_error, render_domain_errors, status_of
from agents_app.web.forms import EditForm, MessageForm, RetryForm, VersionForm, posted_form
from agents_app.web.http import chat_url, current_user, is_script, redirect
from agents_app.web.login_required import login_required
from agents_app.web.run_responses import run_response
from agents_app.web.transcript import read_raw_answer, read_turn_again
from agents_app.web.unsent_message import delete_unsent_message


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def send(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    form = posted_form(MessageForm, request, session_id=session_id)
    run = services.send_message(
        user=current_user(request),
        session_id=session_id,
        text=form.cleaned_data["text"],
        message_id=form.cleaned_data["message_id"],
        agent_id=form.cleaned_data["agent"],
        switch=not form.cleaned_data["is_substitute"],
    )
    delete_unsent_message(request, path=chat_url(session_id))
    return run_response(request, run)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def regenerate(request: HttpRequest, session_id: UUID, message_id: UUID) -> HttpResponseBase:
    form = posted_form(RetryForm, request, session_id=session_id)
    run = services.regenerate(
        user=current_user(request),
        session_id=session_id,
        message_id=message_id,
        agent_id=form.cleaned_data["agent"],
    )
    return run_response(request, run, read=read_turn_again)


def edit_page(
    request: HttpRequest, session_id: UUID, message_id: UUID, *, error: Exception | None = None
) -> HttpResponse:
    """The form for editing a message; with JavaScript, it takes the message's place in the chat."""
    question = get_question(
        user=current_user(request), session_id=session_id, message_id=message_id
    )
    form = EditForm(request.POST or None, initial={"text": question.text_content})
    context = {
        "chat_session": question.session,
        "question": question,
        "form": form,
        "form_error": add_error(error, form),
    }
    return render(request, "agents_app/message_edit.html", context, status=status_of(error))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(edit_page)
def edit(request: HttpRequest, session_id: UUID, message_id: UUID) -> HttpResponseBase:
    if request.method != "POST":
        return edit_page(request, session_id, message_id)
    form = posted_form(EditForm, request, session_id=session_id)
    run = services.edit_message(
        user=current_user(request),
        session_id=session_id,
        message_id=message_id,
        text=form.cleaned_data["text"],
        new_message_id=form.cleaned_data["message_id"],
        agent_id=form.cleaned_data["agent"],
    )
    return run_response(request, run, read=read_turn_again)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def choose(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Show another version of a message or an answer, with what followed it."""
    form = posted_form(VersionForm, request, session_id=session_id)
    head = form.cleaned_data["head"]
    services.choose_version(user=current_user(request), session_id=session_id, head=head)
    url = f"{chat_url(session_id)}#version-{head}"
    return JsonResponse({"url": url}) if is_script(request) else redirect(url)


@login_required
@never_cache
@require_safe
@render_domain_errors(chat_page)
def raw_answer(request: HttpRequest, session_id: UUID, message_id: UUID) -> HttpResponse:
    """The answer to a message, as the agent wrote it."""
    question = get_question(
        user=current_user(request), session_id=session_id, message_id=message_id
    )
    return HttpResponse(read_raw_answer(question), content_type="text/plain; charset=utf-8")
