"""Which API answers an error at a path, and in which shape: Automagik's, or OpenAI's.

For errors that no operation raises, such as those of middleware, or of a method that is refused.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver

from agents_app.api import errors, openai

Responder = Callable[[HttpRequest, Exception], HttpResponse]
View = Callable[..., HttpResponseBase]
Urls = tuple[list[URLResolver | URLPattern], str, str]

_RESPONDERS: dict[str, Responder] = {"/api/v1/": errors.on_error, "/v1/": openai.on_error}


def error_responder_for(path: str) -> Responder | None:
    """What answers errors at a path of an API; None for all other paths."""
    return next((answer for start, answer in _RESPONDERS.items() if path.startswith(start)), None)


def with_json_405(urls: Urls, respond: Responder) -> Urls:
    """The URLs of an API, with 405 in its shape; its library answers with a line of text."""
    for pattern in urls[0]:
        if isinstance(pattern, URLPattern):
            pattern.callback = _refusing_methods(pattern.callback, respond)
    return urls


def _refusing_methods(view: View, respond: Responder) -> View:
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        text = f"{request.method} is not possible here."
        allow = response["Allow"]
        return respond(request, errors.ApiError(405, "method_not_allowed", text, Allow=allow))

    return wrapper
