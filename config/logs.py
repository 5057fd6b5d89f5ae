"""What stands in the log: one line for each event, with the id of the request it belongs to."""

import contextvars
import copy
import logging
from types import TracebackType

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

# Empty outside of requests. A streamed response is written when the middleware has returned,
# so the id is replaced by the next request's and never reset.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

_REFUSED = (BadRequest, Http404, MultiPartParserError, PermissionDenied, SuspiciousOperation)


class RequestFilter(logging.Filter):
    """Adds the id of the request to a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs a response when the request's context has been left.
        request = getattr(record, "request", None)
        found = getattr(request, "request_id", "") or request_id.get()
        record.in_request = f" [{found}]" if found else ""
        return True


class LineFormatter(logging.Formatter):
    """Keeps a message on its line, whatever was put into it.

    Names of agents, texts of models and paths of requests come from outside: a line break in
    one must not start a line that looks like another event, and no escape sequence may reach
    a terminal. Tracebacks keep their line breaks, and are indented; a request that was refused
    needs none, since the message says why.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        record.exc_text = None  # another handler's formatter leaves its text here, unescaped
        if record.exc_info and isinstance(record.exc_info[1], _REFUSED):
            record.exc_info = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return escape_control_characters(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return _block(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        return _block(super().formatStack(stack_info))


def escape_control_characters(text: str) -> str:
    r"""Write what is not printable as an escape such as `\x1b` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "surrogatepass").decode("ascii")
        for letter in text
    )


def _block(text: str) -> str:
    return "\n".join(f"    {escape_control_characters(line)}" for line in text.split("\n"))
