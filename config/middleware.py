"""What is done with every request, around the views: its id, its form, its database errors."""

import codecs
import logging
import secrets
from collections.abc import Callable

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from config.decoding import form_is_text
from config.errors import bad_request, response_to
from config.logs import request_id

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Gives each request an id: in the log, on error pages and in a header of the response.

    A client's own id is not taken over; it could be anything.
    """

    HEADER = "X-Request-ID"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        made = secrets.token_hex(8)
        request.request_id = made  # type: ignore[attr-defined]  # ours
        request_id.set(made)
        response = self.get_response(request)
        response[self.HEADER] = made
        return response


class ReadableRequestMiddleware:
    """Refuses requests whose text or whose form cannot be read, before anybody looks at them.

    Django reads them when they are first needed, which may be in a page that says what is
    wrong with the request.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_unicode(request):
            return bad_request(request, BadRequest("The charset is not UTF-8."))
        try:
            if not form_is_text(request):
                reason = "The form holds bytes that are no text. Write it anew."
                return bad_request(request, BadRequest(reason), reason=reason)
            request.GET, request.POST  # noqa: B018 - both are read now
        except (BadRequest, MultiPartParserError, SuspiciousOperation, UnreadablePostError) as e:
            logger.warning("A request cannot be read: %s", e)
            return bad_request(request, e)
        return self.get_response(request)


class DatabaseErrorMiddleware:
    """Answers for views whose database is busy or away, or was asked for what cannot be.

    Errors outside views come to config.errors.server_error, and end up in the same place.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return response_to(request, error)


def _is_unicode(request: HttpRequest) -> bool:
    """Whether the request's text is in UTF-8, as browsers send it.

    Other charsets, and codecs that are none (hex, undefined …), fail in Django while it
    decodes; forms must be UTF-8 anyway (HTML Living Standard).
    """
    charset = (request.content_params or {}).get("charset")
    if charset is None:
        return True
    try:
        return codecs.lookup(charset).name in {"utf-8", "ascii"}
    except (LookupError, ValueError):
        return False
