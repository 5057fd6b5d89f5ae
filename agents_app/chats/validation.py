"""Checks what users send: the text of a message, and the name of a chat."""

from agents_app.chats.errors import ChatError, InvalidMessage, InvalidName
from sessions_app.storable import UnstorableText, check_storable

MESSAGE_LENGTH = 1_000_000
NAME_LENGTH = 200


def check_message(text: str) -> None:
    """Raise InvalidMessage unless the text can be a message."""
    if not text.strip():
        raise InvalidMessage("Write a message first.")
    if len(text) > MESSAGE_LENGTH:
        raise InvalidMessage(
            f"A message can have at most {MESSAGE_LENGTH:,} characters; this one has {len(text):,}."
        )
    _check_storable(text, InvalidMessage)


def check_name(name: str) -> None:
    """Raise InvalidName unless the text can be the name of a chat."""
    if not name.strip():
        raise InvalidName("A chat needs a name.")
    if len(name) > NAME_LENGTH:
        raise InvalidName(f"A name can have at most {NAME_LENGTH} characters.")
    _check_storable(name, InvalidName)


def _check_storable(text: str, error: type[ChatError]) -> None:
    try:
        check_storable(text)
    except UnstorableText as unstorable:
        raise error(str(unstorable)) from None
