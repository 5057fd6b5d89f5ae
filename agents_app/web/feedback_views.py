"""The view of feedback on an answer: thumbs up or down, and a reason."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from agents_app.chats.feedback import give_feedback, withdraw_feedback
from agents_app.web.chat_pages import chat_page
from agents_app.web.errors import render_domain_errors
from agents_app.web.forms import FeedbackForm, posted_form
from agents_app.web.http import chat_url, current_user, is_script, redirect
from agents_app.web.login_required import login_required
from agents_app.web.message_entries import MessageEntry
from agents_app.web.transcript import read_question


def _page(
    request: HttpRequest, session_id: UUID, message_id: UUID, *, error: Exception
) -> HttpResponse:
    return chat_page(request, session_id, error=error)


@login_required
@never_cache
@require_POST
@render_domain_errors(_page)
def feedback(request: HttpRequest, session_id: UUID, message_id: UUID) -> HttpResponse:
    form = posted_form(FeedbackForm, request, session_id=session_id)
    rating, before = form.cleaned_data["rating"], form.cleaned_data["before"]
    answer: dict[str, Any] = {
        "user": current_user(request),
        "session_id": session_id,
        "message_id": message_id,
    }
    if rating == FeedbackForm.NONE:
        message = withdraw_feedback(**answer)
    else:
        is_good = rating == FeedbackForm.GOOD
        reason = form.cleaned_data["reason"] if "reason" in request.POST else None
        message = give_feedback(**answer, is_good=is_good, reason=reason)
    if is_script(request):
        question = read_question(message)
        context = {"entry": MessageEntry(message), "question": question, "before": before}
        return JsonResponse({"html": render_to_string("agents_app/feedback.html", context)})
    page = f"?before={before}" if before else ""
    return redirect(f"{chat_url(session_id)}{page}#m{message.position}")
