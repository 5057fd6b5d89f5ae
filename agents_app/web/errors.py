"""Turns the errors of forms and use-cases into pages, or JSON for scripts."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from agents_app.chats import errors as chat_errors
from agents_app.web.forms import InvalidForm
from agents_app.web.http import is_script

_STATUS: dict[type[Exception], HTTPStatus] = {
    chat_errors.ChatNotFound: HTTPStatus.NOT_FOUND,
    chat_errors.ChatTrashed: HTTPStatus.NOT_FOUND,
    chat_errors.AgentUnavailable: HTTPStatus.BAD_REQUEST,
    chat_errors.AgentChosen: HTTPStatus.CONFLICT,
    chat_errors.AlreadyAnswering: HTTPStatus.CONFLICT,
    chat_errors.AlreadyUsed: HTTPStatus.CONFLICT,
    chat_errors.NotRetryable: HTTPStatus.CONFLICT,
    chat_errors.VersionUnavailable: HTTPStatus.CONFLICT,
}
_FIELD: dict[type[Exception] | None, str] = {
    chat_errors.InvalidMessage: "text",
    chat_errors.InvalidName: "name",
}

View = Callable[..., HttpResponseBase]
Page = Callable[..., HttpResponse]


def render_domain_errors(page: Page) -> Callable[[View], View]:
    """Turn the errors of services and forms into responses.

    A script is sent the error's text. Otherwise `page` shows it, with what was entered; it may
    raise ChatNotFound in turn, since the chat may have been deleted in the meantime.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, **ids: UUID) -> HttpResponseBase:
            try:
                return view(request, **ids)
            except (chat_errors.ChatError, InvalidForm) as raised:
                error: Exception = raised
            if not is_script(request) and not isinstance(error, chat_errors.ChatNotFound):
                try:
                    return page(request, **ids, error=error)
                except chat_errors.ChatNotFound as not_found:
                    error = not_found
            return _error_response(request, error)

        return wrapper

    return decorate


def _error_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """The error on its own, without the form's page."""
    if is_script(request):
        is_answering = isinstance(error, chat_errors.AlreadyAnswering)
        body = {"error": str(error), "is_answering": is_answering}
        return JsonResponse(body, status=status_of(error))
    context = {"reason": error, "in_trash": isinstance(error, chat_errors.ChatTrashed)}
    return render(request, "404.html", context, status=status_of(error))


def status_of(error: Exception | None) -> HTTPStatus:
    return HTTPStatus.OK if error is None else _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)


def add_error(error: Exception | None, *page_forms: forms.Form) -> str:
    """Add the error to its field, if it has one on the page; otherwise return its text."""
    if error is None or isinstance(error, InvalidForm):  # the form has its own errors
        return ""
    for form in page_forms:
        field = _FIELD.get(type(error))
        if form.is_bound and field in form.fields:
            form.add_error(field, str(error))
            return ""
    return str(error)
