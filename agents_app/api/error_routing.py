"""Chooses the format of an error by its path: Automagik's or OpenAI's.

For errors outside operations, such as those of middleware, or a method that is not allowed.
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
    """The responder to errors at a path of an API; None for all other paths."""
    roots = _RESPONDERS.items()
    return next((answer for root, answer in roots if f"{path}/".startswith(root)), None)


def with_json_errors(urls: Urls, respond: Responder) -> Urls:
    """Have the URLs of an API respond to 404 and 405 in its format, too; returns them."""
    patterns = [pattern for pattern in urls[0] if isinstance(pattern, URLPattern)]
    views = [(pattern.pattern, pattern.callback) for pattern in patterns]
    for number, (route, view) in enumerate(views):
        # `sessions/cleanup` can also be the session with that name.
        others = [
            partial(other, **match[2])
            for pattern, other in views[number + 1 :]
            if (match := pattern.match(str(route)))
        ]
        patterns[number].callback = _responding(view, others, respond)
    return urls


def _responding(view: View, others: Sequence[View], respond: Responder) -> View:
    """Wrap a view: the others are tried if it does not allow the method."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = request.method
        if method == "HEAD":
            request.method = "GET"  # the server omits the body
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
            # Shared caches do not store responses to requests with Authorization, but may store
            # those with X-API-Key. Streams set the header themselves.
            response.setdefault("Cache-Control", "no-store")
            return response
        text = f"{request.method} is not allowed here."
        allow = ", ".join(sorted(allowed | _methods(response)))
        return respond(request, errors.ApiError(405, "method_not_allowed", text, Allow=allow))

    return wrapper


def _methods(response: HttpResponseNotAllowed) -> set[str]:
    """The methods that a view allows, from its 405 response."""
    methods = set(response["Allow"].split(", "))
    return methods | {"HEAD"} if "GET" in methods else methods
