"""Checks what users send: the text of a message, and the name of a chat."""

from agents_app.chats.errors import ChatError, InvalidMessage, InvalidName
from sessions_app.storable import UnstorableText, check_storable

MESSAGE_LENGTH = 1_000_000
NAME_LENGTH = 200


def check_message(text: str) -> None:
    """Raise InvalidMessage unless the text can be a message."""
    _check_text(
        text,
        InvalidMessage,
        if_blank="Write a message first.",
        longest=MESSAGE_LENGTH,
        if_longer=f"A message has at most {MESSAGE_LENGTH:,} characters; this one has {len(text)}.",
    )


def check_name(name: str) -> None:
    """Raise InvalidName unless the text can be the name of a chat."""
    _check_text(
        name,
        InvalidName,
        if_blank="A chat needs a name.",
        longest=NAME_LENGTH,
        if_longer=f"A name has at most {NAME_LENGTH} characters.",
    )


def _check_text(
    text: str, error: type[ChatError], *, if_blank: str, longest: int, if_longer: str
) -> None:
    if not text.strip():
        raise error(if_blank)
    if len(text) > longest:
        raise error(if_longer)
    try:
        check_storable(text)
    except UnstorableText as unstorable:
        raise error(str(unstorable)) from None
