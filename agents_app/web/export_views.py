"""The views that export chats: files that are sent while they are being made."""

import unicodedata
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents_app import chats
from agents_app.web.export import FORMATS, file_name, zip_of_chats
from agents_app.web.forms import ExportForm
from agents_app.web.http import current_user, render_domain_errors
from agents_app.web.login_required import login_required
from agents_app.web.pages import chat_page

_CONTENT_TYPES = {"md": "text/markdown; charset=utf-8", "json": "application/json"}
_PIECE = 64 * 1024  # bytes


@login_required
@never_cache
@require_safe
@render_domain_errors(chat_page)
def export_chat(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
    """One chat, as Markdown or JSON."""
    chat_session = chats.get_session(user=current_user(request), session_id=session_id)
    form = ExportForm(request.GET)
    if not form.is_valid():
        raise Http404
    ending = form.cleaned_data["format"]
    pieces = _joined(FORMATS[ending](chat_session))
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
    connections.close_all()  # none is held while the file is sent
    return StreamingHttpResponse(_sent(pieces), headers=headers)


def _attachment(name: str) -> str:
    """With a name in ASCII for programs that read no other."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def _joined(texts: Iterator[str]) -> Iterator[bytes]:
    """Pieces that are worth being sent by themselves."""
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        if len(piece) > _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, each of them made in a thread: the event loop goes on meanwhile."""
    while piece := await sync_to_async(_next, thread_sensitive=False)(pieces):
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    try:
        return next(pieces, b"")
    finally:
        # The next piece may be made in another thread, or never be asked for.
        connections.close_all()
