"""The API's errors in OpenAI's shape."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from agents_app.api.errors import describe, invalid_field

# Of an answer that has failed: a status that no client takes as a request to ask once more, as
# those from 500 on are. See agents_app.api.waiting.
FAILED = HTTPStatus.FAILED_DEPENDENCY
# OpenAI's clients repeat these by themselves unless told not to. One has waited for its turn
# already, and nobody knows what the other one has done before it failed.
_NOT_TO_BE_REPEATED = {409, 500}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    FAILED: "server_error",
    429: "rate_limit_error",
}
# The field that an error is about.
_PARAMS = {
    "agent_not_found": "model",
    "session_not_found": "metadata.session_id",
    "invalid_message": "messages",
    "invalid_messages": "messages",
    "unsupported_content": "messages",
}


def openai_error(
    status: int, code: str, message: str, *, param: str | None = None, **headers: str
) -> HttpResponse:
    """An error in OpenAI's shape."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JsonResponse({"error": error}, status=status, headers=headers)


def on_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Every error, as `describe` says, in OpenAI's shape."""
    status, code, detail, headers = describe(request, error)
    if status in _NOT_TO_BE_REPEATED:
        headers = {**headers, "X-Should-Retry": "false"}
    # OpenAI's clients take 404 for an unknown model, and 400 for a bad body.
    param = invalid_field(error) or _PARAMS.get(code)
    return openai_error(400 if status == 422 else status, code, detail, param=param, **headers)


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 in OpenAI's shape for a path that does not exist."""
    return openai_error(404, "unknown_url", f"Unknown request URL: {request.method} {request.path}")
