"""The ASGI entry point: `uvicorn config.asgi:application`."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from typing import Any

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

try:
    django_application = get_asgi_application()
except ImproperlyConfigured as error:
    sys.exit(f"Settings: {error}")


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Django, and the one thing of the lifespan protocol that it lacks: a good end for runs."""
    if scope["type"] != "lifespan":
        await django_application(scope, receive, send)
        return
    from agents_app import runner

    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await runner.quit_all()
    await send({"type": "lifespan.shutdown.complete"})
