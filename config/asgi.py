"""The ASGI entry point: `uvicorn config.asgi:application`."""

import logging
import os
import sys
from collections.abc import Mapping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from typing import Any

import django
from asgiref.sync import SyncToAsync, sync_to_async
from django.core.exceptions import BadRequest, ImproperlyConfigured, SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from config.lifespan import lifespan

logger = logging.getLogger(__name__)


class OneThreadHandler(ASGIHandler):
    """Runs all middleware and the view of a request, which are synchronous, in one thread.

    Measured: Django's own handler, which switches threads around each middleware, adds about
    100 ms to the first token on two busy cores.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    def create_request(self, scope: Mapping[str, Any], body_file: Any) -> tuple[Any, Any]:
        """Like Django's, but responds with 400 to headers that cannot be decoded."""
        try:
            request, response = super().create_request(scope, body_file)
        except (SuspiciousOperation, ValueError) as error:
            logger.warning("The headers of a request cannot be decoded: %s", error)
            request, response = None, HttpResponseBadRequest()
        if response is not None:
            # Imported here, once the apps are set up.
            from agents_app.api.error_routing import error_responder_for

            if respond := error_responder_for(scope["path"]):
                undecodable = BadRequest("The address or a header cannot be decoded.")
                response = respond(HttpRequest(), undecodable)
        return request, response

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        response = super().get_response(request)
        if _is_async_stream(response):
            connections.close_all()  # those of this thread, which ends now
        return response

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        response = await sync_to_async(self.get_response)(request)
        if _is_async_stream(response):
            _end_thread_of_request()
        return response


def _is_async_stream(response: HttpResponseBase) -> bool:
    return isinstance(response, StreamingHttpResponse) and response.is_async


def _end_thread_of_request() -> None:
    """End the current request's thread, which asgiref would keep until the response has ended.

    Each open stream would have one. If the request needs a thread again, it gets a new one.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is not None:
        executor = SyncToAsync.context_to_thread_executor.pop(context, None)
        if executor is not None:
            executor.shutdown(wait=False)


try:
    django.setup(set_prefix=False)
    django_application = OneThreadHandler()
except ImproperlyConfigured as error:
    sys.exit(f"Settings: {error}")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Django's application, with the lifespan protocol that Django does not implement."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await django_application(scope, receive, send)
