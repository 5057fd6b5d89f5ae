"""The API's health check, which needs no key."""

from importlib.metadata import PackageNotFoundError, version

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from agents_app.api.response_schemas import Health

router = Router(tags=["health"])


@router.get("/health", response=Health, auth=None)
def read_health(request: HttpRequest) -> Health:
    """Report whether the service is up."""
    return Health(
        status="healthy",
        timestamp=timezone.now(),
        version=_version(),
        environment="development" if settings.DEBUG else "production",
    )


def _version() -> str:
    try:
        return version("chat-sessions")
    except PackageNotFoundError:
        return "0.1.0"
