"""Static files, served by WhiteNoise under ASGI."""

import logging
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)


class HashedStorage(CompressedManifestStaticFilesStorage):
    """Names with hashes, also in imports between modules, and compressed files.

    A file that was not collected keeps its plain name, so that pages load, if without styles.
    """

    support_js_module_import_aggregation = True

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:  # the middleware has logged the remedy
            return name


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise with plain instead of streaming responses.

    WhiteNoise streams from a synchronous iterator, which Django under ASGI reads in one go anyway,
    with a warning for every file.
    """

    def add_files(self, root: str | Path, prefix: Any = None) -> None:
        """Like WhiteNoise's, but logs what to do when the folder is missing."""
        if self.autorefresh or Path(root).is_dir():
            super().add_files(root, prefix)
        else:
            logger.warning(
                "The static files are missing, so pages lack styles. Run: manage.py collectstatic"
            )

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        streamed = WhiteNoiseMiddleware.serve(static_file, request)
        headers = dict(streamed.items())
        try:
            return HttpResponse(b"".join(streamed), status=streamed.status_code, headers=headers)
        finally:
            streamed.close()
