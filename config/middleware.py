"""What is done with every request, around the views: its id."""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.logs import request_id

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestIdMiddleware:
    """Gives each request an id: in the log, on error pages and in a header of the response.

    A client's own id is not taken over; it could be anything.
    """

    HEADER = "X-Request-ID"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        made = secrets.token_hex(8)
        request.request_id = made  # type: ignore[attr-defined]  # ours
        request_id.set(made)
        response = self.get_response(request)
        response[self.HEADER] = made
        return response
