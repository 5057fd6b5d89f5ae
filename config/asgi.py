"""The ASGI entry point: `uvicorn config.asgi:application`."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.lifespan import lifespan


class OneThreadHandler(ASGIHandler):
    """Runs a request's middleware and its view in one thread: all of them are synchronous.

    Django would change threads around each of them. While tokens flow, the interpreter is
    busy, and every change is a wait.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

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
