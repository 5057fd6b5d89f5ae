"""Middleware: request ids, undecodable requests and database errors."""

import codecs
import logging
import secrets
from collections.abc import Callable

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from agents_app.api.error_routing import error_responder_for
from config.errors import bad_request, error_response
from config.form_encoding import form_is_text
from config.log_formatters import request_id

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Gives each request an id, for the log, error pages and a response header.

    A client's own id is ignored: it could be anything.
    """

    HEADER = "X-Request-ID"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        new_id = secrets.token_hex(8)
        request.request_id = new_id  # type: ignore[attr-defined]  # set here only
        request_id.set(new_id)
        response = self.get_response(request)
        response[self.HEADER] = new_id
        return response


class ReadableRequestMiddleware:
    """Refuses requests whose query string or form cannot be decoded.

    Django decodes them on first use, which may be while an error page is rendered. The APIs read
    no forms: what programs send is JSON, even if they call it a form, as curl does by default.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_unicode(request):
            return bad_request(request, BadRequest("The charset is not UTF-8."))
        may_be_form = error_responder_for(request.path_info) is None
        try:
            if may_be_form and not form_is_text(request):
                reason = "The form contains bytes that are not text. Fill it in again."
                return bad_request(request, BadRequest(reason), reason=reason)
            request.GET  # noqa: B018 - decodes it
            if may_be_form:
                request.POST  # noqa: B018 - decodes it
        except (BadRequest, MultiPartParserError, SuspiciousOperation, UnreadablePostError) as e:
            logger.warning("A request cannot be decoded: %s", e)
            return bad_request(request, e)
        return self.get_response(request)


class DatabaseErrorMiddleware:
    """Responds to database errors in views; config.errors.server_error handles all others."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return error_response(request, error)


def _is_unicode(request: HttpRequest) -> bool:
    """Whether the request's charset is UTF-8, as browsers send it (HTML Living Standard).

    Django fails while decoding others, such as Python's codecs `hex` and `undefined`.
    """
    charset = (request.content_params or {}).get("charset")
    if charset is None:
        return True
    try:
        return codecs.lookup(charset).name in {"utf-8", "ascii"}
    except (LookupError, ValueError):
        return False
