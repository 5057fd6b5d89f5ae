"""The views of a run: retry, continue, stop, and its events.

They work like those of agents_app.web.chat_views.
"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from agents_app import services, sse
from agents_app.chats.lookups import get_run
from agents_app.web.chat_pages import chat_page
from agents_app.web.errors import render_domain_errors
from agents_app.web.forms import RetryForm, posted_form
from agents_app.web.http import chat_url, current_user, is_script, redirect
from agents_app.web.login_required import login_required
from agents_app.web.run_responses import run_response, stream, wait
from agents_app.web.transcript import read_turn_again


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def retry(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    form = posted_form(RetryForm, request, session_id=session_id)
    run = services.retry_run(
        user=current_user(request),
        session_id=session_id,
        run_id=run_id,
        agent_id=form.cleaned_data["agent"],
    )
    return run_response(request, run, read=read_turn_again)


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def continue_answer(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponseBase:
    """Continues an answer that ended at the token limit."""
    run = services.continue_answer(user=current_user(request), session_id=session_id, run_id=run_id)
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
        return HttpResponse(headers=sse.HEADERS)  # without waiting for the run
    return stream(run)
