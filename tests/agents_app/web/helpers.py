"""Requests and assertions that the tests of the chat pages share."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session

JSON = {"Accept": "application/json"}
EVENTS = {"Accept": "text/event-stream"}
FRAME = re.compile(r'<template data-chat-frame="([^"]+)">(.*</template>.*)</template>', re.DOTALL)


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


def read_events(
    user: User, method: str, url: str, form: dict[str, Any] | None = None
) -> tuple[Any, list[str]]:
    """A response and its events; of a posted form's only the first, as no worker answers."""

    async def read() -> tuple[Any, list[str]]:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await getattr(client, method)(url, form, headers=EVENTS)
        if not response.streaming:
            return response, []
        parts = aiter(response.streaming_content)
        if form is not None:
            return response, [(await anext(parts)).decode()]
        return response, [part.decode() async for part in parts]

    return async_to_sync(read)()


def queries(get: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        get()
    return len(captured)


def html(response: Any) -> str:
    return str(response.content.decode())


def shown(response: Any) -> str:
    """The page without the frame of a new chat's page, which only the script reads."""
    return FRAME.sub("", html(response))
