"""What is answered when something went wrong: pages for people, JSON for scripts.

None of these reads the database, which may be what has failed: their templates are given no
user, and say the request's id, under which the log has the details.
"""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader

from agents_app.views import is_script


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: Django's handler of this name looks at the form again, which may be what is broken."""
    return _page(request, HTTPStatus.BAD_REQUEST)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, for whatever nobody has caught; Django logs the traceback."""
    if is_script(request):
        text = f"Something went wrong here. Try again; the log knows it as {_id(request)}."
        return JsonResponse({"error": text}, status=HTTPStatus.INTERNAL_SERVER_ERROR)
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without a valid token; Django logs the reason."""
    return _page(request, HTTPStatus.FORBIDDEN, "403_csrf.html")


def _page(
    request: HttpRequest, status: HTTPStatus, template: str = "", **context: object
) -> HttpResponse:
    # Without the request's own context: it would look up the user.
    text = loader.render_to_string(
        template or f"{status.value}.html", {"request": request, **context}
    )
    return HttpResponse(text, status=status)


def _id(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", "-"))
