"""Once a message is stored, no response makes a client send it again."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import AsyncClient

from agents_app import sse
from agents_app.api import openai_answers
from agents_app.models import Agent, AgentRun, RunStatus
from agents_app.runs import watching
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient
from tests.factories import say
from tests.model_server import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

RUN, COMPLETIONS = "/api/v1/agent/simple/run", "/v1/chat/completions"
BODY = {
    "message_content": "Hello",
    "model": "simple",
    "messages": [{"role": "user", "content": "Hello"}],
}
# The text that the client has received so far, and what to do then.
Step = tuple[str, Callable[[AgentRun], object]]
# Statuses after which clients and gateways retry automatically, in addition to 500 and above.
REPEATED = {408, 409, 425, 429}


@pytest.fixture
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(run_id: UUID, seconds: float) -> None:
        pass

    monkeypatch.setattr("agents_app.runs.watching.wait", wait)


def check_not_repeated(response: Any) -> None:
    assert response.status_code < 500
    assert response.status_code not in REPEATED
    assert Session.objects.count() == Message.objects.count() == 1


@pytest.mark.usefixtures("nobody_waits")
class TestNoAnswerYet:
    def test_run(self, api: ApiClient, agent: Agent, user: User) -> None:
        response = api("POST", RUN, BODY)
        check_not_repeated(response)
        answer = response.json()
        run = AgentRun.objects.get()
        assert (answer["success"], answer["status"], answer["message_id"]) == (
            False,
            "pending",
            None,
        )
        assert (answer["session_id"], answer["run_id"]) == (str(run.session_id), str(run.pk))
        assert answer["user_id"] == str(user.pk)
        assert "will be in this session" in answer["message"]
        state = api("GET", f"runs/{answer['run_id']}/status").json()
        assert state["status"] == "pending"

    def test_completion(self, api: ApiClient, agent: Agent) -> None:
        response = api("POST", COMPLETIONS, BODY)
        check_not_repeated(response)
        error = response.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "not_answered_yet")
        assert str(Session.objects.get().pk) in error["message"]

    @pytest.mark.parametrize("error", [OperationalError("database is locked"), TypeError("secret")])
    @pytest.mark.parametrize("path", [RUN, COMPLETIONS])
    def test_answer_that_cannot_be_read(
        self,
        api: ApiClient,
        agent: Agent,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        path: str,
        error: Exception,
    ) -> None:
        def fail(run_id: UUID) -> None:
            raise error

        monkeypatch.setattr("agents_app.api.waiting.read_answer", fail)
        monkeypatch.setattr("agents_app.api.waiting.SPARE_SECONDS", 0.1)
        response = api("POST", path, BODY)
        check_not_repeated(response)
        assert "secret" not in response.content.decode()
        assert "cannot be read" in caplog.text


def deltas(stream: str) -> str:
    """The text of a stream, in either format."""
    events = [json.loads(line) for line in re.findall("^data: ({.*})$", stream, re.MULTILINE)]
    return "".join(
        event.get("delta") or event["choices"][0]["delta"].get("content") or ""
        for event in events
        if "delta" in event or event.get("choices")
    )


@pytest.mark.parametrize("path", [RUN, COMPLETIONS])
class TestStreamedFromElsewhere:
    """No worker answers in this process, so that the run is read from the database."""

    def read(
        self, api: ApiClient, path: str, *steps: tuple[str, Callable[[AgentRun], object]]
    ) -> str:
        """Read the stream, and take each step once its text has been received."""

        async def read() -> str:
            headers = {"X-API-Key": api.key, "Accept": "text/event-stream"}
            response: Any = await AsyncClient().post(
                path,
                json.dumps({**BODY, "stream": True}),
                content_type="application/json",
                headers=headers,
            )
            run = await AgentRun.objects.select_related("session").aget()
            stream, left = "", list(steps)
            with suppress(Broken):
                async for part in response:
                    stream += part.decode()
                    if left and deltas(stream) == left[0][0]:
                        await sync_to_async(left.pop(0)[1])(run)
            return stream

        return async_to_sync(read)()

    def test_last_words(self, api: ApiClient, agent: Agent, path: str) -> None:
        """They are stored when the run ends, not before."""

        def end(run: AgentRun) -> None:
            say(run.session, "Hello", role="assistant", run=run)
            run.finish(RunStatus.DONE, text="")

        stream = self.read(api, path, ("", begin), ("Hel", end))
        assert deltas(stream) == "Hello"
        assert stream.endswith("data: [DONE]\n\n")

    def test_silence_is_filled_while_no_worker_starts_the_run(
        self, api: ApiClient, agent: Agent, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        """Proxies end connections on which nothing comes."""
        # Longer than between two readings of the row.
        monkeypatch.setattr(sse if path == RUN else openai_answers, "QUIET_SECONDS", 0.7)
        monkeypatch.setattr(watching, "POLL_INTERVAL", 0.02)
        monkeypatch.setattr(watching, "_LARGEST_SHARE", 1)
        monkeypatch.setattr(AgentRun, "STARTED_WITHIN", 0)

        async def first_comment() -> bytes:
            response: Any = await AsyncClient().post(
                path,
                json.dumps({**BODY, "stream": True}),
                content_type="application/json",
                headers={"X-API-Key": api.key, "Accept": "text/event-stream"},
            )
            async with asyncio.timeout(PATIENCE), aclosing(aiter(response)) as parts:
                return await anext(part async for part in parts if part.startswith(b":"))

        assert async_to_sync(first_comment)() == b": keep-alive\n\n"

    def test_failure_of_the_stream(
        self, api: ApiClient, agent: Agent, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        def fail(run_id: UUID) -> None:
            raise Broken("secret")

        module = "ui_stream" if path == RUN else "openai_answers"
        monkeypatch.setattr(f"agents_app.api.{module}.read_answer", fail)
        stream = self.read(api, path, ("", lambda run: run.finish(RunStatus.DONE)))
        assert "Something went wrong." in stream
        assert "secret" not in stream

    @pytest.mark.parametrize(
        ("status", "shown"),
        [
            (RunStatus.FAILED, '"No answer."'),
            (RunStatus.STOPPED, '"The run was stopped."'),
        ],
    )
    def test_end_without_an_answer(
        self, api: ApiClient, agent: Agent, path: str, status: RunStatus, shown: str
    ) -> None:
        error = "No answer.\nsecret" if status == RunStatus.FAILED else ""
        stream = self.read(
            api, path, ("", begin), ("Hel", lambda run: run.finish(status, text="Hel", error=error))
        )
        assert deltas(stream) == "Hel"
        assert shown in stream
        assert "secret" not in stream


def begin(run: AgentRun) -> None:
    AgentRun.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING, text="Hel")


class Broken(Exception):
    """An unexpected error."""
