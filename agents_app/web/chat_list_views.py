"""The views of the lists of chats: the sidebar, all chats with bulk actions, and the trash.

Actions on a single chat are in agents_app.web.chat_organizing_views.
"""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from agents_app.chats import organizing
from agents_app.chats import trash as chat_trash
from agents_app.web.chat_list_forms import BulkForm, ListForm, SidebarForm, TrashRestoreForm
from agents_app.web.chat_lists import (
    SIDEBAR_CHATS,
    Cursor,
    count_all,
    read_all,
    read_sidebar,
    read_trash,
)
from agents_app.web.chat_pages import new_chat_page
from agents_app.web.errors import render_domain_errors
from agents_app.web.forms import InvalidForm, posted_form
from agents_app.web.http import current_user, is_script, redirect
from agents_app.web.login_required import login_required


@login_required
@never_cache
@require_safe
def sidebar(request: HttpRequest) -> HttpResponse:
    """The sidebar's chats as a fragment: from the first one on, or the next ones."""
    form = SidebarForm(request.GET)
    if not form.is_valid():
        raise Http404
    shown = form.cleaned_data
    count = shown["count"] or SIDEBAR_CHATS
    context = {
        "sidebar": read_sidebar(request.user, after=shown["after"], count=count),
        "current": shown["current"],
    }
    return render(request, "agents_app/sidebar_chats.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@render_domain_errors(new_chat_page)
def restore_together(request: HttpRequest) -> HttpResponse:
    """Undoes the deletion of one or more chats; a GET, as after a login, leads to the trash."""
    if request.method != "POST":
        return redirect(reverse("chats-trash"))
    form = posted_form(TrashRestoreForm, request)
    trashed_at = form.cleaned_data["trashed_at"]
    count = chat_trash.restore_sessions(user=current_user(request), trashed_at=trashed_at)
    if is_script(request):
        return JsonResponse({"restored": count})
    messages.success(request, f"Restored {_chats(count)}.")
    return redirect(reverse("chats"))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def all_chats(request: HttpRequest) -> HttpResponse:
    """All chats, with checkboxes; posted, applies an action to the selected ones."""
    after = _cursor(request)
    if request.method != "POST":
        context = {"list": read_all(request.user, after=after)}
        return render(request, "agents_app/chats_all.html", context)
    form = BulkForm(request.POST)
    if form.is_valid():
        _apply_action(request, form.cleaned_data["action"], form.cleaned_data["chats"])
    else:
        messages.error(request, str(InvalidForm(form)))
    return redirect(request.get_full_path())


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_all(request: HttpRequest) -> HttpResponse:
    """Asks for confirmation; posted, moves all chats to the trash."""
    user = current_user(request)
    if request.method != "POST":
        context = {"chats": _chats(count_all(user)), "days": settings.TRASH_DAYS}
        return render(request, "agents_app/chats_delete.html", context)
    count, trashed_at = chat_trash.trash_all(user)
    messages.success(request, f"Deleted {_chats(count)}.", extra_tags=trashed_at.isoformat())
    return redirect(reverse("chats-all"))


@login_required
@never_cache
@require_safe
def trash(request: HttpRequest) -> HttpResponse:
    after = _cursor(request)
    context = {"list": read_trash(request.user, after=after), "days": settings.TRASH_DAYS}
    return render(request, "agents_app/chats_trash.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def empty_trash(request: HttpRequest) -> HttpResponse:
    """Asks for confirmation, which is posted."""
    if request.method != "POST":
        return render(request, "agents_app/trash_empty.html")
    count = chat_trash.empty_trash(trashed_before=timezone.now(), user=current_user(request))
    messages.success(request, f"Deleted {_chats(count)} for good.")
    return redirect(reverse("chats-trash"))


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def restore_all(request: HttpRequest) -> HttpResponse:
    """Restores all chats from the trash; a GET, as after a login, leads there."""
    if request.method == "POST":
        count = chat_trash.restore_all(current_user(request))
        messages.success(request, f"Restored {_chats(count)}.")
    return redirect(reverse("chats-trash"))


def _apply_action(request: HttpRequest, action: str, session_ids: list[UUID]) -> None:
    user = current_user(request)
    if action == "delete":
        count, trashed_at = chat_trash.trash_sessions(user=user, session_ids=session_ids)
        messages.success(request, f"Deleted {_chats(count)}.", extra_tags=trashed_at.isoformat())
    else:
        pinned = action == "pin"
        count = organizing.pin_sessions(user=user, session_ids=session_ids, pinned=pinned)
        messages.success(request, f"{'Pinned' if pinned else 'Unpinned'} {_chats(count)}.")


def _cursor(request: HttpRequest) -> Cursor | None:
    """Where the page of a list begins."""
    form = ListForm(request.GET)
    if not form.is_valid():
        raise Http404
    after: Cursor | None = form.cleaned_data["after"]
    return after


def _chats(count: int) -> str:
    return f"{count:,} {ngettext('chat', 'chats', count)}"
