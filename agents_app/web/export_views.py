"""The views that export chats: files that are sent while they are generated."""

import unicodedata
from collections.abc import Iterator
from urllib.parse import quote
from uuid import UUID

from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents_app.chats import lookups
from agents_app.web.chat_pages import chat_page
from agents_app.web.errors import render_domain_errors
from agents_app.web.export import FORMATS, file_name, zip_of_chats
from agents_app.web.forms import ChatExportForm
from agents_app.web.http import current_user
from agents_app.web.login_required import login_required
from sessions_app.streamed_files import buffered, iterate_in_threads

_CONTENT_TYPES = {"md": "text/markdown; charset=utf-8", "json": "application/json"}


@login_required
@never_cache
@require_safe
@render_domain_errors(chat_page)
def export_chat(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    """One chat, as Markdown or JSON."""
    chat_session = lookups.get_session(user=current_user(request), session_id=session_id)
    form = ChatExportForm(request.GET)
    if not form.is_valid():
        raise Http404
    ending = form.cleaned_data["format"]
    pieces = buffered(FORMATS[ending](chat_session))
    return _download(request, pieces, f"{file_name(chat_session)}.{ending}", _CONTENT_TYPES[ending])


@login_required
@never_cache
@require_safe
def export_chats(request: HttpRequest) -> HttpResponseBase:
    """All chats of the user, as a zip file."""
    name = f"Chats {timezone.localdate().isoformat()}.zip"
    return _download(request, zip_of_chats(current_user(request)), name, "application/zip")


def _download(
    request: HttpRequest, pieces: Iterator[bytes], name: str, content_type: str
) -> HttpResponseBase:
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": _attachment(name),
        "X-Content-Type-Options": "nosniff",
    }
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    connections.close_all()  # hold none while the file is sent
    return StreamingHttpResponse(iterate_in_threads(pieces), headers=headers)


def _attachment(name: str) -> str:
    """With an ASCII name as well, for programs that understand no other."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
