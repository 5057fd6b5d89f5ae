"""The views of a chat, and of the first page, where a new one starts and chats are searched.

They call the use-cases in agents_app.services. .chat_pages renders the pages, from what
.transcript, .chat_lists, .search and .agent_choice read.

Every form works without JavaScript: post, wait, redirect to the answer. Scripts ask for
events, the answer as it is written, or for JSON, which says where the answer will be.
"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from agents_app import services
from agents_app.web.chat_pages import chat_page, new_chat_page
from agents_app.web.errors import render_domain_errors
from agents_app.web.forms import NewChatForm, posted_form
from agents_app.web.http import EVENTS, current_user, preferred_type
from agents_app.web.login_required import login_required
from agents_app.web.run_responses import run_response, stream_new_chat


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(new_chat_page)
def chats(request: HttpRequest) -> HttpResponseBase:
    """The form for a new chat, or a search; posting to it starts the chat."""
    if request.method != "POST":
        return new_chat_page(request)
    form = posted_form(NewChatForm, request)
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
