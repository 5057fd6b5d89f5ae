"""The ASGI entry point: `uvicorn config.asgi:application`."""

import logging
import os
import sys
from collections.abc import Mapping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase

from config.lifespan import lifespan

logger = logging.getLogger(__name__)


class OneThreadHandler(ASGIHandler):
    """Runs a request's middleware and its view in one thread: all of them are synchronous.

    Django would change threads around each of them. While tokens flow, the interpreter is
    busy, and every change is a wait.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    def create_request(self, scope: Mapping[str, Any], body_file: Any) -> tuple[Any, Any]:
        """Like Django's, but answers 400 to headers that cannot be read."""
        try:
            request, response = super().create_request(scope, body_file)
        except (SuspiciousOperation, ValueError) as error:
            logger.warning("The headers of a request cannot be read: %s", error)
            return None, HttpResponseBadRequest()
        return request, response

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response)(request)


try:
    django.setup(set_prefix=False)
    django_application = OneThreadHandler()
except ImproperlyConfigured as error:
    sys.exit(f"Settings: {error}")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Django, and the lifespan protocol, which it leaves out."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await django_application(scope, receive, send)
