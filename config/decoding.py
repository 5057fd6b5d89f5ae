"""Refuses forms with bytes that are no text.

Django puts U+FFFD in the place of such bytes, or reads the whole form as Latin-1, and goes on:
something else would be stored than was sent. In the text itself nothing shows that, since
people paste U+FFFD too. Browsers send text; only a damaged or a hand-made form has such bytes.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, UnreadablePostError

GetResponse = Callable[[HttpRequest], HttpResponse]

URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class UndecodableFormMiddleware:
    """Answers 400 when what was posted cannot be decoded. Has to come before the CSRF check.

    That check reads the form, and of a multipart form nothing is left to look at afterwards. No
    page here takes files, which may hold any bytes.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _can_be_decoded(request):
            return self.get_response(request)
        return HttpResponseBadRequest(
            "The form holds bytes that are no text. Write it anew.", content_type="text/plain"
        )


def _can_be_decoded(request: HttpRequest) -> bool:
    if request.content_type not in {URL_ENCODED, MULTIPART}:
        return True
    try:
        sent = request.body
        # The marks between the fields are ASCII: the whole is text when each field is.
        if request.content_type == URL_ENCODED:
            sent = unquote_to_bytes(sent)
        sent.decode(request.encoding or settings.DEFAULT_CHARSET)
    except (UnicodeError, LookupError):  # the latter for an encoding that is none of text
        return False
    except UnreadablePostError:
        return True  # whoever sent it has gone
    return True
