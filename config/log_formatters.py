"""Formats log records as lines or as JSON, with the request's id and without API keys."""

import contextvars
import copy
import json
import logging
import re
from datetime import UTC, datetime
from types import TracebackType

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

from sessions_app.displayable import printable

# Empty outside requests. Never reset, only replaced by the next request's: a streamed response
# is still being sent after the middleware has returned.
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

_REFUSALS = (BadRequest, Http404, MultiPartParserError, PermissionDenied, SuspiciousOperation)

# The prefix of agents_app.accounts.api_keys, which cannot be imported while settings are read. Also
# matches in the middle of a word, since an escaped line break ends with a letter.
_API_KEY = re.compile(r"cs_[\w-]+")


class RequestFilter(logging.Filter):
    """Adds the request's id to a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs responses outside the request's context, and attaches the request.
        request = getattr(record, "request", None)
        found = getattr(request, "request_id", "") or request_id.get()
        record.request_id = found
        record.in_request = f" [{found}]" if found else ""
        return True


class LineFormatter(logging.Formatter):
    """Keeps every message on one line, with control characters escaped.

    Messages quote names, paths and model output from outside: a line break must not forge
    another event, and no escape sequence may reach a terminal. Tracebacks keep their line
    breaks, indented. Refused requests get no traceback, since their message gives the reason.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        record.msg, record.args = _message(record), ()
        record.exc_text = None  # cached here, unescaped, by another handler's formatter
        if _was_refused(record):
            record.exc_info = None
        return _without_keys(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII: nothing in it can start a line or control a terminal.

    `request` is the request's id; `exception` and `stack` are there when the event has them.
    """

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "request": getattr(record, "request_id", ""),
        }
        if record.exc_info and not _was_refused(record):
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = self.formatStack(record.stack_info)
        event = {name: _without_keys(text) for name, text in event.items() if text}
        return json.dumps({name: _without_surrogates(text) for name, text in event.items()})


def _message(record: logging.LogRecord) -> str:
    """The record's message, even if the arguments of the call do not fit its text.

    On an error here, logging would print the record itself, with whatever it contains.
    """
    try:
        return record.getMessage()
    except Exception as error:
        place = f"{record.pathname}:{record.lineno}"
        shown = f"{_repr(record.msg)} % {_repr(record.args)}"
        return f"{shown} in {place} cannot be formatted: {type(error).__name__}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"({type(error).__name__} in repr)"


def _without_keys(text: str) -> str:
    """Mask API keys, which clients also send where they do not belong, such as in URLs.

    Applied to the finished text, which includes messages, arguments and exceptions.
    """
    return _API_KEY.sub("cs_***", text)


def _was_refused(record: logging.LogRecord) -> bool:
    return isinstance(record.exc_info[1], _REFUSALS) if record.exc_info else False


def _without_surrogates(text: str) -> str:
    """Escape surrogates, which JSON can write but strict parsers refuse to read."""
    return text.encode("utf-8", "backslashreplace").decode()
