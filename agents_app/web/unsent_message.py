"""A message that could not be sent, kept in the Django session until its page shows it.

The login had expired, or an answer was being written.
"""

from django.http import HttpRequest

_KEY = "unsent_message"


def keep_unsent_message(
    request: HttpRequest, *, path: str, text: str, agent: str, writer: str = ""
) -> None:
    """Keep a message for the page at `path`, unless another user of this browser wrote it."""
    if writer not in {"", str(request.user.pk)}:
        return
    request.session[_KEY] = {"path": path, "text": text, "agent": agent}


def take_unsent_message(request: HttpRequest) -> dict[str, str] | None:
    """The message that was kept for this page, once, as initial values of its form."""
    kept = request.session.get(_KEY)
    if request.method != "GET" or not kept or kept["path"] != request.path:
        return None
    del request.session[_KEY]
    return {"text": kept["text"], "agent": kept["agent"]}


def delete_unsent_message(request: HttpRequest, *, path: str) -> None:
    """Delete the message that is kept for the page at `path`."""
    if request.session.get(_KEY, {}).get("path") == path:
        del request.session[_KEY]
