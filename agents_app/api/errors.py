"""The API's errors: each has a `detail` for people and a `code` for programs."""

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DataError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError

from agents_app.accounts.external_users import InvalidEmail, UserNotFound
from agents_app.chats import errors as chat_errors
from sessions_app.cleanup.restoring import NotRestorable
from sessions_app.database_errors import is_too_complex, is_unavailable, one_line

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds
# Caches may otherwise keep a 404 or 405 for as long as they like.
NOT_CACHED = {"Cache-Control": "no-store"}
BUSY = "The server is busy. Try again in a moment."
INVALID_VALUE = "The request contains a value that cannot be stored."

Description = tuple[int, str, str, dict[str, str]]  # status, code, sentence, headers
Responder = Callable[[HttpRequest, Exception], HttpResponse]


class Error(Schema):
    """An error: `detail` is a sentence for people, `code` a stable identifier for programs."""

    detail: str
    code: str


# The error statuses that any operation can have, for the documentation.
ERRORS = frozenset({400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 503})


class ApiError(Exception):
    """An error with the status, code and headers of its response."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.headers = status, code, headers


_CODES: dict[type[Exception], tuple[int, str]] = {
    chat_errors.ChatNotFound: (404, "session_not_found"),
    chat_errors.AgentUnavailable: (404, "agent_not_found"),
    chat_errors.AgentChosen: (409, "agent_changed"),
    chat_errors.AlreadyAnswering: (409, "session_busy"),
    chat_errors.NotRetryable: (409, "not_retryable"),
    chat_errors.InvalidMessage: (422, "invalid_message"),
    chat_errors.InvalidName: (422, "invalid_name"),
    UserNotFound: (404, "user_not_found"),
    InvalidEmail: (422, "invalid_email"),
    NotRestorable: (409, "not_restorable"),
    BadRequest: (400, "bad_request"),
    SuspiciousOperation: (400, "bad_request"),
    MultiPartParserError: (400, "bad_request"),
    UnreadablePostError: (400, "bad_request"),
    Http404: (404, "not_found"),
}


# If a field can have several types, the location of an error includes the type's name.
_TYPE = re.compile(r"(constrained-)?(int|str)|.*\[.*", re.DOTALL)
# Pydantic's messages for these mention Python's types.
_NO_OBJECT = {"dict_type", "model_type"}


def error_response(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> HttpResponse:
    """The response to an error, in Automagik's format."""
    body = {"detail": detail, "code": code}
    return JsonResponse(body, status=status, headers={**NOT_CACHED, **(headers or {})})


def describe(request: HttpRequest, error: Exception) -> Description:
    """Describe the response to an error. Unexpected ones are logged; clients get only an id."""
    try:
        return _describe_expected(error)
    except Exception:
        logger.exception("%s %s failed unexpectedly", request.method, request.path)
        return _describe_expected(unexpected(request))


def _describe_expected(error: Exception) -> Description:
    """As `describe`; re-raises unexpected errors."""
    if isinstance(error, ApiError):
        headers = {name.replace("_", "-"): value for name, value in error.headers.items()}
        return error.status, error.code, str(error), headers
    if isinstance(error, ValidationError):
        return 422, "invalid", _validation_text(error), {}
    if isinstance(error, AuthenticationError):
        text = "Send a valid API key in the X-API-Key header, or as a bearer token."
        return 401, "no_valid_key", text, {"WWW-Authenticate": "Bearer"}
    if isinstance(error, HttpError):  # Ninja cannot parse the body
        return 422, "invalid", "The body is not valid JSON.", {}
    # Django's own messages for these two are meant for the operator.
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return 413, "too_large", f"A request can have at most {limit:,} bytes.", {}
    if isinstance(error, DisallowedHost):
        return 400, "bad_request", "The Host header does not name a host of this site.", {}
    if isinstance(error, chat_errors.AlreadyUsed):  # its own message is about forms
        text = "This Idempotency-Key was used for another request. Send this one with a new key."
        return 409, "idempotency_key_used", text, {}
    for kind, (status, code) in _CODES.items():
        if isinstance(error, kind):
            return status, code, str(error) or HTTPStatus(status).phrase, {}
    if is_unavailable(error):
        logger.warning("The database is busy or unreachable: %s", one_line(error))
        return 503, "busy", BUSY, {"Retry-After": str(RETRY_AFTER)}
    if is_too_complex(error) or isinstance(error, DataError):
        return 422, "invalid", INVALID_VALUE, {}
    raise error


def unexpected(request: HttpRequest) -> ApiError:
    """The error that clients get for an unexpected one, which only the log describes."""
    request_id = getattr(request, "request_id", "-")
    text = f"Something went wrong. Try again; the error has the id {request_id}."
    return ApiError(500, "internal_error", text)


def on_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Respond to any error in Automagik's format."""
    return error_response(*describe(request, error))


def install_handlers(api: NinjaAPI, respond: Responder) -> None:
    """Have an API use one format for all errors, including those that Ninja handles itself."""
    for kind in (Exception, ValidationError, AuthenticationError, HttpError, Http404):
        api.exception_handler(kind)(respond)


def invalid_field(error: Exception) -> str | None:
    """The name of the field whose value is invalid, if that is the error."""
    return _field(_clearest(error)) if isinstance(error, ValidationError) else None


def _validation_text(error: ValidationError) -> str:
    """One of the errors as a sentence that names the field."""
    clearest = _clearest(error)
    message = clearest["msg"].removeprefix("Value error, ").rstrip(".")
    if clearest["type"] in _NO_OBJECT:
        message = "Input should be an object"
    return f"{_field(clearest) or 'body'}: {message}."


def _clearest(error: ValidationError) -> dict[str, Any]:
    """The error at the deepest location: for a field with several types, the closest match."""
    found: dict[str, Any] = max(error.errors, key=lambda one: len(one["loc"]))
    return found


def _field(error: dict[str, Any]) -> str:
    """The path to the value; empty for the whole body."""
    source, *path = error["loc"]
    if source == "body":
        path = path[1:]  # the parameter's name in the code
    return ".".join(str(part) for part in path if not _TYPE.fullmatch(str(part)))
