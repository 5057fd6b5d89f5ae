"""The API's errors in OpenAI's format."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from agents_app.api.errors import NOT_CACHED, describe, invalid_field

# The status for an answer that has failed: unlike those from 500 on, clients do not retry it.
# See agents_app.api.waiting.
FAILED = HTTPStatus.FAILED_DEPENDENCY
# OpenAI's clients retry these unless a header forbids it. With 409, the request has already waited;
# with 500, what it did before it failed is unknown.
_NOT_TO_BE_REPEATED = {409, 500}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    FAILED: "server_error",
    429: "rate_limit_error",
}
# The field that an error is about, by code.
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
    """The response to an error, in OpenAI's format."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": param, "code": code}
    return JsonResponse({"error": error}, status=status, headers={**NOT_CACHED, **headers})


def on_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Respond to any error in OpenAI's format."""
    status, code, detail, headers = describe(request, error)
    if status in _NOT_TO_BE_REPEATED:
        headers = {**headers, "X-Should-Retry": "false"}
    param = invalid_field(error) or _PARAMS.get(code)
    # OpenAI's clients expect 400 for an invalid body.
    return openai_error(400 if status == 422 else status, code, detail, param=param, **headers)


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 in OpenAI's format for a path that does not exist."""
    return openai_error(404, "unknown_url", f"Unknown request URL: {request.method} {request.path}")
