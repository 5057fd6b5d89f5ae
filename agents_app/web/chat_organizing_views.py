"""The views of actions on a single chat: rename, pin, delete, restore.

They work like those of agents_app.web.chat_views.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from agents_app.chats import lookups, names, organizing, trash
from agents_app.chats.errors import ChatNotFound
from agents_app.web.chat_pages import chat_page, new_chat_page
from agents_app.web.errors import add_error, render_domain_errors, status_of
from agents_app.web.forms import PinForm, RenameForm, posted_form
from agents_app.web.http import chat_url, current_user, is_script, redirect
from agents_app.web.login_required import login_required


def rename_page(
    request: HttpRequest, session_id: UUID, *, error: Exception | None = None
) -> HttpResponse:
    """The form for a chat's name; with JavaScript, there is a dialog for it."""
    chat_session = lookups.get_session(user=current_user(request), session_id=session_id)
    form = RenameForm(
        request.POST if request.method == "POST" else None,
        initial={"name": names.display_name(chat_session)},
    )
    context = {
        "chat_session": chat_session,
        "form": form,
        "form_error": add_error(error, form),
    }
    return render(request, "agents_app/chat_rename.html", context, status=status_of(error))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(rename_page)
def rename(request: HttpRequest, session_id: UUID) -> HttpResponse:
    if request.method != "POST":
        return rename_page(request, session_id)
    chat_session = lookups.get_session(user=current_user(request), session_id=session_id)
    form = posted_form(RenameForm, request)
    name = form.cleaned_data["name"]
    organizing.rename_session(chat_session, name=name)
    if is_script(request):
        return JsonResponse({"name": name})
    return redirect(chat_url(session_id))


@login_required
@never_cache
@require_POST
@render_domain_errors(chat_page)
def pin(request: HttpRequest, session_id: UUID) -> HttpResponse:
    form = PinForm(request.POST)
    pinned = form.is_valid() and form.cleaned_data["pinned"]
    user = current_user(request)
    if not organizing.pin_sessions(user=user, session_ids=[session_id], pinned=pinned):
        lookups.get_session(user=user, session_id=session_id)
        raise ChatNotFound("There is no such chat.")
    if is_script(request):
        return JsonResponse({"pinned": pinned})
    return redirect(chat_url(session_id))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(chat_page)
def delete(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Asks for confirmation; posted, moves the chat to the trash."""
    user = current_user(request)
    chat_session = lookups.get_session(user=user, session_id=session_id)
    if request.method != "POST":
        return _confirmation(request, chat_session, forever=False)
    trashed_at = trash.trash_session(chat_session)
    name = Truncator(names.display_name(chat_session)).chars(60)
    text, undo = f"Deleted “{name}”.", trashed_at.isoformat()
    if is_script(request):
        return JsonResponse({"text": text, "trashed_at": undo})
    messages.success(request, text, extra_tags=undo)
    return redirect(reverse("chats"))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(new_chat_page)
def delete_forever(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Asks for confirmation; posted, deletes a chat in the trash."""
    chat_session = lookups.get_trashed(user=current_user(request), session_id=session_id)
    if request.method != "POST":
        return _confirmation(request, chat_session, forever=True)
    trash.delete_forever(chat_session)
    messages.success(request, f"Deleted “{names.display_name(chat_session)}” for good.")
    return redirect(reverse("chats-trash"))


@login_required
@never_cache
@require_POST
@render_domain_errors(new_chat_page)
def restore(request: HttpRequest, session_id: UUID) -> HttpResponse:
    trash.restore_session(user=current_user(request), session_id=session_id)
    return redirect(chat_url(session_id))


def _confirmation(request: HttpRequest, chat_session: Any, *, forever: bool) -> HttpResponse:
    context = {
        "chat_session": chat_session,
        "count": chat_session.messages.count(),
        "days": settings.TRASH_DAYS,
        "forever": forever,
    }
    return render(request, "agents_app/chat_delete.html", context)
