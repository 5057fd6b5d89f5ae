"""Static files, served by WhiteNoise under ASGI."""

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, whose files become plain responses.

    It streams them from a synchronous iterator. Under ASGI Django reads such a one as a whole
    all the same, and warns of it at every file.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        streamed = WhiteNoiseMiddleware.serve(static_file, request)
        headers = dict(streamed.items())
        try:
            return HttpResponse(b"".join(streamed), status=streamed.status_code, headers=headers)
        finally:
            streamed.close()
