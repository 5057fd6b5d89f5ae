"""The health probe, and the middleware that answers it before hosts and schemes are checked."""

from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.metrics import metrics


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 `{"status": "ok"}`, or 503 when the database does not respond."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"status": "database unreachable"}, status=503)
    return JsonResponse({"status": "ok"})


class HealthMiddleware:
    """Responds to probes and scrapes before the host and the scheme are checked.

    Both use an IP address and plain HTTP, and do not follow redirects.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for view in (healthz, metrics):
            if request.path_info == reverse(view):
                return view(request)
        return self.get_response(request)
