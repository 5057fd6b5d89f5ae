"""Validates posted forms; turns errors of forms and use-cases into pages, or JSON for scripts."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from agents_app.chats import errors as chat_errors
from agents_app.chats.lookups import get_session
from agents_app.web.http import current_user, is_script

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

F = TypeVar("F", bound=forms.Form)
View = Callable[..., HttpResponseBase]
Page = Callable[..., HttpResponse]


class InvalidForm(Exception):
    """A posted form is incomplete or damaged; the text is its first error."""

    def __init__(self, form: forms.Form) -> None:
        super().__init__(next(iter(form.errors.values()))[0])


def posted_form(form_class: type[F], request: HttpRequest, *, session_id: UUID | None = None) -> F:
    """The form that was posted. Raises InvalidForm.

    With the id of a chat that is not the user's, raises ChatNotFound for an invalid form.
    """
    form = form_class(request.POST)
    if not form.is_valid():
        if session_id is not None:
            get_session(user=current_user(request), session_id=session_id)
        raise InvalidForm(form)
    return form


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
