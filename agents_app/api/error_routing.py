"""Which API answers an error at a path, and in which shape: Automagik's, or OpenAI's.

For errors that no operation raises, such as those of middleware, or of a method that is refused.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver

from agents_app.api import errors, openai_errors
from agents_app.api.errors import Responder

View = Callable[..., HttpResponseBase]
Urls = tuple[list[URLResolver | URLPattern], str, str]

_RESPONDERS: dict[str, Responder] = {"/api/v1/": errors.on_error, "/v1/": openai_errors.on_error}


def error_responder_for(path: str) -> Responder | None:
    """What answers errors at a path of an API; None for all other paths."""
    roots = _RESPONDERS.items()
    return next((answer for root, answer in roots if f"{path}/".startswith(root)), None)


def with_json_errors(urls: Urls, respond: Responder) -> Urls:
    """The URLs of an API, with what its library does not answer as an operation in its shape."""
    patterns = [pattern for pattern in urls[0] if isinstance(pattern, URLPattern)]
    views = [(pattern.pattern, pattern.callback) for pattern in patterns]
    for number, (route, view) in enumerate(views):
        # `sessions/cleanup` is also the session of that name.
        others = [
            partial(other, **match[2])
            for pattern, other in views[number + 1 :]
            if (match := pattern.match(str(route)))
        ]
        patterns[number].callback = _responding(view, others, respond)
    return urls


def _responding(view: View, others: Sequence[View], respond: Responder) -> View:
    """The view, and the others for the methods that it refuses."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = request.method
        if method == "HEAD":
            request.method = "GET"  # the server sends no body
        allowed: set[str] = set()
        try:
            response = view(request, *args, **kwargs)
            for other in others:
                if isinstance(response, HttpResponseNotAllowed):
                    allowed |= _methods(response)
                    response = other(request)
        except Http404:
            text = f"There is nothing at {request.path}."
            return respond(request, errors.ApiError(404, "not_found", text))
        finally:
            request.method = method
        if not isinstance(response, HttpResponseNotAllowed):
            # Shared caches know that an answer to Authorization is somebody's own, but not that
            # one to X-API-Key is. Streams have a header of their own.
            response.setdefault("Cache-Control", "no-store")
            return response
        text = f"{request.method} is not possible here."
        allow = ", ".join(sorted(allowed | _methods(response)))
        return respond(request, errors.ApiError(405, "method_not_allowed", text, Allow=allow))

    return wrapper


def _methods(response: HttpResponseNotAllowed) -> set[str]:
    """The methods that are possible where another one was refused."""
    methods = set(response["Allow"].split(", "))
    return methods | {"HEAD"} if "GET" in methods else methods
