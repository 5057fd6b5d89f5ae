"""Checks that a posted form can be decoded.

Django replaces undecodable bytes with U+FFFD, or decodes the whole form as Latin-1, and would
store something other than what was sent. The decoded text does not reveal it, since people paste
U+FFFD too. Browsers never send such bytes, except as the content of a file.
"""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import parse_header_parameters

URL_ENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def form_is_text(request: HttpRequest) -> bool:
    """Whether the posted form is valid text. Call it before the form is parsed.

    Parsing consumes the body of a multipart form.
    """
    if request.content_type not in {URL_ENCODED, MULTIPART}:
        return True
    try:
        body = request.body
        # Boundaries and separators are ASCII: the body is text when every field is.
        if request.content_type == URL_ENCODED:
            body = unquote_to_bytes(body)
        else:
            body = b"".join(_without_files(body, request.content_params))
        body.decode(request.encoding or settings.DEFAULT_CHARSET)
    except UnicodeError:
        return False
    return True


def _without_files(body: bytes, content_params: dict[str, str] | None) -> Iterator[bytes]:
    """A multipart form without the content of its files.

    A file is what Django takes for one: a part whose disposition has a file name.
    """
    boundary = (content_params or {}).get("boundary", "")
    if not boundary:
        yield body  # Django rejects it
        return
    for part in body.split(b"--" + boundary.encode()):
        headers, blank_line, content = part.partition(b"\r\n\r\n")
        yield headers
        file_names = list(_file_names(headers))
        if not file_names or not file_names[-1]:
            yield blank_line + content


def _file_names(headers: bytes) -> Iterator[str]:
    """The file name in each disposition, of which the last one counts; empty where it has none."""
    for line in headers.split(b"\r\n"):
        try:
            name, parameters = parse_header_parameters(line.decode())
        except ValueError:
            continue
        if name.startswith("content-disposition:"):
            yield parameters.get("filename", "")
