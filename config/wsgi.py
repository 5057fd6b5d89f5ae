"""The WSGI entry point, for hosts without ASGI; answers are not streamed there."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "on")

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

try:
    application = get_wsgi_application()
except ImproperlyConfigured as error:
    sys.exit(f"Settings: {error}")
