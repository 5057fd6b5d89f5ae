"""What the tests of the chat pages ask for, and how they look at the answer."""

import uuid
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session

JSON = {"Accept": "application/json"}
EVENTS = {"Accept": "text/event-stream"}


def new_chat(agent: Agent, text: str = "Hello there") -> dict[str, Any]:
    return {"agent": agent.pk, "text": text, "message_id": str(uuid.uuid4())}


def message(text: str = "And then?") -> dict[str, str]:
    return {"text": text, "message_id": str(uuid.uuid4())}


def rows() -> tuple[int, int, int]:
    return Session.objects.count(), Message.objects.count(), AgentRun.objects.count()


def chat_url(chat_session: Session, name: str = "chat", **ids: Any) -> str:
    return reverse(name, kwargs={"session_id": chat_session.pk, **ids})


def run_url(run: AgentRun, name: str) -> str:
    return chat_url(run.session, name, run_id=run.pk)


def queries(get: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        get()
    return len(captured)


def html(response: Any) -> str:
    return str(response.content.decode())
