"""Helpers of the chat pages' views: the user, preferred types, redirects."""

from http import HTTPStatus
from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from agents_app import sse

HTML, JSON, EVENTS = "text/html", "application/json", sse.CONTENT_TYPE


def is_script(request: HttpRequest) -> bool:
    """Whether JSON or events are wanted, rather than a page."""
    return preferred_type(request) in {JSON, EVENTS}


def current_user(request: HttpRequest) -> User:
    return cast("User", request.user)  # every view requires a login


def preferred_type(request: HttpRequest) -> str | None:
    return request.get_preferred_type([HTML, JSON, EVENTS])


def chat_url(session_id: UUID, run_id: UUID | None = None) -> str:
    url = reverse("chat", kwargs={"session_id": session_id})
    return f"{url}#run-{run_id}" if run_id else url


def redirect(url: str) -> HttpResponse:
    """303 See Other: the browser follows with a GET, whatever this request's method is."""
    return HttpResponse(status=HTTPStatus.SEE_OTHER, headers={"Location": url})
