"""Error responses: pages for people, JSON for scripts and for programs that use the API.

No template queries the database, which may be what failed: they get no user. They show the
request's id, under which the log has the details.
"""

import logging
import sys
from dataclasses import dataclass
from http import HTTPStatus

from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template import loader

from agents_app.api.error_routing import error_responder_for
from agents_app.api.errors import BUSY, INVALID_VALUE, RETRY_AFTER, ApiError, unexpected
from agents_app.models import CacheEntry
from agents_app.web.http import is_script
from sessions_app.database_errors import is_too_complex, is_unavailable, one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnsavedField:
    """A field of a form that could not be stored, to be shown again."""

    name: str
    value: str

    @property
    def kind(self) -> str:
        """How it is shown: typed text is visible, and a password has to be typed again."""
        if "password" in self.name.lower():
            return "password"
        return {"text": "text", "name": "line", "username": "line"}.get(self.name, "hidden")

    @property
    def label(self) -> str:
        return {"text": "Message", "username": "User name"}.get(
            self.name, self.name.replace("_", " ").capitalize()
        )


def bad_request(request: HttpRequest, exception: Exception, *, reason: str = "") -> HttpResponse:
    """400. Unlike Django's own handler, this does not parse the form, which may be the cause."""
    if respond := error_responder_for(request.path_info):
        return respond(request, exception)
    return _page(request, HTTPStatus.BAD_REQUEST, reason=reason)


def server_error(request: HttpRequest) -> HttpResponse:
    """The handler for uncaught errors, also of middleware: 500, unless `error_response` has one."""
    error = sys.exc_info()[1]
    if error and (response := error_response(request, error)):
        return response
    api_error = unexpected(request)
    if respond := error_responder_for(request.path_info):
        return respond(request, api_error)
    if is_script(request):
        return JsonResponse({"error": str(api_error)}, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token; Django logs the reason."""
    if is_script(request):
        text = "You have logged in or out since this page was opened. Reload it."
        return JsonResponse({"error": text}, status=HTTPStatus.FORBIDDEN)
    return _page(request, HTTPStatus.FORBIDDEN, "403_csrf.html")


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """429, or 503 when the database is busy: attempts that cannot be counted look like too many."""
    try:
        CacheEntry.objects.filter(pk="").update(value="")
    except DatabaseError as error:
        if response := error_response(request, error):
            return response
        raise
    return _page(request, HTTPStatus.TOO_MANY_REQUESTS)


def error_response(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """The response to an unavailable database or an invalid value; None for other errors."""
    respond = error_responder_for(request.path_info)
    if is_unavailable(error):
        logger.warning("The database is busy or unreachable: %s", one_line(error))
        if respond:
            return respond(request, ApiError(503, "busy", BUSY, Retry_After=str(RETRY_AFTER)))
        return _unavailable(request)
    if _is_invalid_value(error):
        logger.warning("A request contains a value that no column can store", exc_info=error)
        if respond:
            return respond(request, ApiError(400, "bad_request", INVALID_VALUE))
        return _page(request, HTTPStatus.BAD_REQUEST)
    return None


def _is_invalid_value(error: BaseException) -> bool:
    """Whether the error is about a value no column can store: text for an id, a NUL, a huge number.

    Forms reject such values, so only a hand-made request contains them.
    """
    # SQLite's driver raises OverflowError before the database sees the number.
    too_large = isinstance(error, OverflowError) and "SQLite INTEGER" in str(error)
    return too_large or is_too_complex(error) or isinstance(error, DataError | ValidationError)


def _unavailable(request: HttpRequest) -> HttpResponse:
    response: HttpResponse
    if is_script(request):
        response = JsonResponse({"error": BUSY}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    else:
        fields = [
            UnsavedField(name, str(value))
            for name, values in request.POST.lists()
            for value in values
            if name != "csrfmiddlewaretoken"
        ]
        response = _page(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            fields=fields,
            csrf_token=get_token(request),
        )
    response["Retry-After"] = str(RETRY_AFTER)
    response["Cache-Control"] = "no-store"
    return response


def _page(
    request: HttpRequest, status: HTTPStatus, template: str = "", **context: object
) -> HttpResponse:
    # Without the request's context processors, which would query the user.
    text = loader.render_to_string(
        template or f"{status.value}.html", {"request": request, **context}
    )
    return HttpResponse(text, status=status)
