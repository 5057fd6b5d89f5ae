"""The ASGI entry point: `uvicorn config.asgi:application`."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

try:
    application = get_asgi_application()
except ImproperlyConfigured as error:
    sys.exit(f"Settings: {error}")
