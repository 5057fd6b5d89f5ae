"""Static files, served by WhiteNoise under ASGI."""

import logging
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

logger = logging.getLogger(__name__)


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, whose files become plain responses.

    It streams them from a synchronous iterator. Under ASGI Django reads such a one as a whole
    all the same, and warns of it at every file.
    """

    def add_files(self, root: str | Path, prefix: Any = None) -> None:
        """Like WhiteNoise's, but says what to do when there is no such folder."""
        if self.autorefresh or Path(root).is_dir():
            super().add_files(root, prefix)
        else:
            logger.warning(
                "There are no static files: pages have no style. Run: manage.py collectstatic"
            )

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        streamed = WhiteNoiseMiddleware.serve(static_file, request)
        headers = dict(streamed.items())
        try:
            return HttpResponse(b"".join(streamed), status=streamed.status_code, headers=headers)
        finally:
            streamed.close()
