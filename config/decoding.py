"""Whether what was posted is text.

Django puts U+FFFD in the place of bytes that are none, or reads the whole form as Latin-1, and
goes on: something else would be stored than was sent. In the text itself nothing shows that,
since people paste U+FFFD too. Browsers send text; only a damaged or a hand-made form has such
bytes. No page here takes files, which may hold any.
"""

from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest

URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def form_is_text(request: HttpRequest) -> bool:
    """Whether the posted form can be decoded as it is; to be asked before the form is read.

    Of a multipart form that has been read nothing is left to look at.
    """
    if request.content_type not in {URL_ENCODED, MULTIPART}:
        return True
    try:
        sent = request.body
        # The marks between the fields are ASCII: the whole is text when each field is.
        if request.content_type == URL_ENCODED:
            sent = unquote_to_bytes(sent)
        sent.decode(request.encoding or settings.DEFAULT_CHARSET)
    except UnicodeError:
        return False
    return True
