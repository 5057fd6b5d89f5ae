"""What is answered when something went wrong: pages for people, JSON for scripts.

None of these reads the database, which may be what has failed: their templates are given no
user, and say the request's id, under which the log has the details.
"""

import logging
import sys
from dataclasses import dataclass
from http import HTTPStatus

from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template import loader

from agents_app.views import is_script
from sessions_app.database import is_too_complex, is_unavailable

logger = logging.getLogger(__name__)


RETRY_AFTER = 5  # seconds
UNAVAILABLE = "The server is busy. Try again in a moment."


@dataclass(frozen=True)
class TypedField:
    """A field of a form that could not be stored, as it is shown again."""

    name: str
    value: str

    @property
    def kind(self) -> str:
        """How it is shown: what a person has written is visible, a secret is asked for anew."""
        if "password" in self.name.lower():
            return "password"
        return {"text": "text", "name": "line", "username": "line"}.get(self.name, "hidden")

    @property
    def label(self) -> str:
        return {"text": "Message", "username": "User name"}.get(
            self.name, self.name.replace("_", " ").capitalize()
        )


def bad_request(request: HttpRequest, exception: Exception, *, reason: str = "") -> HttpResponse:
    """400: Django's handler of this name looks at the form again, which may be what is broken."""
    return _page(request, HTTPStatus.BAD_REQUEST, reason=reason)


def server_error(request: HttpRequest) -> HttpResponse:
    """Whatever no view has caught, middleware's errors included: 500, if nothing else fits."""
    error = sys.exc_info()[1]
    response = error and response_to(request, error)
    if response:
        return response
    if is_script(request):
        text = f"Something went wrong here. Try again; the log knows it as {_id(request)}."
        return JsonResponse({"error": text}, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token; Django logs the reason."""
    return _page(request, HTTPStatus.FORBIDDEN, "403_csrf.html")


def response_to(request: HttpRequest, error: BaseException) -> HttpResponse | None:
    """The response to an error that is not the code's fault; None when it is."""
    if is_unavailable(error):
        logger.warning("The database is busy or away: %s", error)
        return _unavailable(request)
    if _is_of_an_unusable_value(error):
        logger.warning("The database cannot work with a value of a request", exc_info=error)
        return _page(request, HTTPStatus.BAD_REQUEST)
    return None


def _is_of_an_unusable_value(error: BaseException) -> bool:
    """Whether a value is none that a column can have: a word for an id, a NUL, a huge number.

    Forms refuse them, and nobody means them elsewhere.
    """
    # SQLite's driver refuses numbers before the database sees them.
    too_large = isinstance(error, OverflowError) and "SQLite INTEGER" in str(error)
    return too_large or is_too_complex(error) or isinstance(error, DataError | ValidationError)


def _unavailable(request: HttpRequest) -> HttpResponse:
    response: HttpResponse
    if is_script(request):
        response = JsonResponse({"error": UNAVAILABLE}, status=HTTPStatus.SERVICE_UNAVAILABLE)
    else:
        fields = [
            TypedField(name, str(value))
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
    # Without the request's own context: it would look up the user.
    text = loader.render_to_string(
        template or f"{status.value}.html", {"request": request, **context}
    )
    return HttpResponse(text, status=status)


def _id(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", "-"))
