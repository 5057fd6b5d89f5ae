"""The pages that forms return to: a chat's, and that of a new chat, which can show a search."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from agents_app.chats import lookups
from agents_app.chats.errors import AlreadyAnswering
from agents_app.web.agent_choice import AgentChoice, choice_for_chat, choice_for_new_chat
from agents_app.web.errors import add_error, status_of
from agents_app.web.forms import (
    MessageForm,
    NewChatForm,
    PrefillForm,
    SearchForm,
    TranscriptSliceForm,
)
from agents_app.web.found_words import find_words
from agents_app.web.http import chat_url, current_user, redirect
from agents_app.web.search import search_chats
from agents_app.web.transcript import TranscriptPage, TranscriptSlice, read_transcript
from agents_app.web.unsent_message import keep_unsent_message, take_unsent_message
from sessions_app.models import Session

PRINTED_MESSAGES = 2000  # which take a few seconds to render
NO_CHAT = UUID(int=0)  # the id of a chat that does not exist yet


def new_chat_page(request: HttpRequest, *, error: Exception | None = None) -> HttpResponse:
    """The form for a new chat or, if the URL has a query, the results of that search."""
    search = SearchForm(request.GET)
    search.is_valid()
    if "q" in search.errors or search.cleaned_data["q"]:
        return search_page(request, search)
    prefill = PrefillForm(request.GET)
    prefill.is_valid()
    draft = take_unsent_message(request) or {}
    new_chat = NewChatForm(
        request.POST or None,
        initial={"agent": prefill.cleaned_data.get("agent")} | draft,
    )
    choice = choice_for_new_chat(request.user, new_chat)
    new_chat.initial.setdefault("text", prefill.text(choice.selected))
    context = {
        "new_chat": new_chat,
        "choice": choice,
        "chat_frame": _chat_frame(request, choice) if choice.selected else "",
        "form_error": add_error(error, new_chat),
    }
    return render(request, "agents_app/new_chat.html", context, status=status_of(error))


def _chat_frame(request: HttpRequest, choice: AgentChoice) -> str:
    """The page of a chat with the selected agent, before the chat exists. No queries.

    The form for a new chat comes with it, so that the first answer need not include it.
    """
    chat_session = Session(pk=NO_CHAT, agent=choice.selected)
    context = {
        **_chat_context(chat_session, choice.for_started_chat(), MessageForm()),
        "transcript": TranscriptPage([]),
    }
    return render_to_string("agents_app/chat_frame.html", context, request)


def search_page(request: HttpRequest, form: SearchForm) -> HttpResponse:
    """The results of a search in the names and messages of the user's chats."""
    query = form.cleaned_data.get("q")
    number = form.cleaned_data.get("page") or 1
    results = search_chats(current_user(request), query, page=number) if query else None
    context = {"search": form, "query": query, "results": results}
    return render(request, "agents_app/search.html", context)


def chat_page(
    request: HttpRequest,
    session_id: UUID,
    run_id: UUID | None = None,
    message_id: UUID | None = None,
    *,
    error: Exception | None = None,
) -> HttpResponse:
    """A chat's latest messages and the form for the next, or another part of the chat."""
    chat_session = lookups.get_session(user=current_user(request), session_id=session_id)
    slice_form = TranscriptSliceForm(request.GET)
    if not slice_form.is_valid():
        raise Http404
    asked = slice_form.cleaned_data
    posted = request.POST
    draft = take_unsent_message(request)
    message_form = MessageForm(posted if "text" in posted else None, initial=draft)
    transcript = read_transcript(chat_session, _slice(asked))
    if not transcript.turns and asked["after"] is not None and not error:
        return redirect(chat_url(session_id))  # it has become shorter since
    if transcript.active_run and (draft or isinstance(error, AlreadyAnswering)):
        _keep_message(request, session_id, message_form)
    choice = choice_for_chat(chat_session.agent, message_form)
    context = {
        **_chat_context(chat_session, choice, message_form),
        "transcript": transcript,
        "found": find_words(transcript, asked["at"], asked["q"]),
        "before": asked["before"],
        "is_for_printing": asked["all"],
        "form_error": add_error(error, message_form),
    }
    is_fragment = asked["fragment"]
    template = "agents_app/transcript.html" if is_fragment else "agents_app/chat.html"
    return render(request, template, context, status=status_of(error))


def _keep_message(request: HttpRequest, session_id: UUID, form: MessageForm) -> None:
    """Keep a message that cannot be sent yet, until the page is reloaded without JavaScript."""
    text, agent = (form[name].value() or "" for name in ("text", "agent"))
    if text:
        keep_unsent_message(request, path=chat_url(session_id), text=text, agent=agent)


def _slice(asked: dict[str, Any]) -> TranscriptSlice:
    if asked["all"]:
        return TranscriptSlice(length=PRINTED_MESSAGES)
    return TranscriptSlice(**{name: asked[name] for name in ("before", "after", "at")})


def _chat_context(
    chat_session: Session, choice: AgentChoice, message_form: MessageForm
) -> dict[str, Any]:
    return {
        "chat_session": chat_session,
        "agent": chat_session.agent,
        "choice": choice,
        # A retry needs another agent only if the chat has no active one.
        "choosable": choice.others if choice.is_substitute else [],
        "message_form": message_form,
    }
