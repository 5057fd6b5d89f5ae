"""Creates rows for tests, with defaults for the values that a test does not care about."""

import uuid
from datetime import datetime
from typing import Any

from sessions_app.models import Message, Session
from sessions_app.writing import append_message


def phantom(**values: Any) -> Session:
    """What building an agent used to leave: auto-named, on automagik, without a message."""
    session_id = values.pop("id", None) or uuid.uuid4()
    values = {"name": f"Session-{session_id}", "platform": "automagik", **values}
    return make_session(id=session_id, **values)


def make_session(*, created_at: datetime | None = None, **values: Any) -> Session:
    """A session that a person made, unless the values say otherwise."""
    values = {"name": "Planning", "platform": "web", **values}
    if created_at is not None:
        values["created_at"] = values["updated_at"] = created_at
    return Session.objects.create(**values)


def say(chat_session: Session, text: str = "Hello", **values: Any) -> Message:
    """A message, stored as the product stores it."""
    message = Message(
        session_id=chat_session.pk, **{"role": "user", "text_content": text, **values}
    )
    return append_message(message)
