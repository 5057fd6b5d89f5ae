"""The Vercel AI SDK against the API: its parser of UI message streams, and its chat client."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User

from agents_app.api.urls import api
from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import key_for
from tests.conftest import database_url
from tests.model_server import ToldModel, ToolCall
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

PARSER = """
import { parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } from "ai";
const body = new ReadableStream({
    async start(controller) {
        for await (const part of process.stdin) controller.enqueue(part);
        controller.close();
    },
});
const chunks = parseJsonEventStream({ stream: body, schema: uiMessageChunkSchema }).pipeThrough(
    new TransformStream({
        transform(chunk, controller) {
            if (!chunk.success) throw chunk.error;
            controller.enqueue(chunk.value);
        },
    }),
);
let last;
const errors = [];
const onError = (error) => errors.push(String(error));
for await (const message of readUIMessageStream({ stream: chunks, onError })) last = message;
console.log(JSON.stringify({ message: last, errors }));
"""

CLIENT = """
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";
const [baseURL, apiKey] = process.argv.slice(2);
const agents = createOpenAICompatible({ name: "agents", baseURL, apiKey });
try {
    const { text } = await generateText({ model: agents("simple"), prompt: "Hello" });
    console.log(JSON.stringify({ text }));
} catch (error) {
    console.log(JSON.stringify({ error: String(error), status: error.statusCode }));
}
"""

# The same as `useChat`, but without React, which would keep the state in a component.
CHAT = """
import { AbstractChat, DefaultChatTransport } from "ai";
const [key, ...texts] = process.argv.slice(2);
class State {
    status = "ready";
    messages = [];
    pushMessage = (message) => { this.messages = [...this.messages, message]; };
    replaceMessage = (index, message) => { this.messages = this.messages.with(index, message); };
    snapshot = structuredClone;
}
class Chat extends AbstractChat {}
const errors = [];
const onError = (error) => errors.push(error.message);
const transport = TRANSPORT;
const chat = new Chat({ state: new State(), transport, onError });
for (const text of texts) await chat.sendMessage({ text });
console.log(JSON.stringify({ messages: chat.messages, status: chat.status, errors }));
"""


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs that use the SDK."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm: install the package npm")
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "parser.js").write_text(PARSER)
    (folder / "client.js").write_text(CLIENT)
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
    packages = ["ai@6", "@ai-sdk/openai-compatible@2"]
    subprocess.run([*command, *packages], cwd=folder, check=True, timeout=300)
    return folder


def node(sdk: Path, program: str, *arguments: str, stdin: bytes = b"") -> Any:
    """Run a program; returns the JSON that it prints."""
    command = ["node", program, *arguments]
    ran = subprocess.run(command, cwd=sdk, input=stdin, capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def stream(http: httpx2.Client, **headers: str) -> bytes:
    response = http.post(
        "agent/simple/run",
        json={"message_content": "Hello"},
        headers={"Accept": "text/event-stream", **headers},
    )
    assert response.headers["X-Vercel-AI-UI-Message-Stream"] == "v1"
    return response.content


def test_stream(http: httpx2.Client, model: ToldModel, sdk: Path) -> None:
    model.will_say("Hi ", "there!")
    read = node(sdk, "parser.js", stdin=stream(http))
    step, part = read["message"]["parts"]
    assert step["type"] == "step-start"
    assert (part["type"], part["text"], part["state"]) == ("text", "Hi there!", "done")
    chat_session = Session.objects.get()
    assert read["message"]["metadata"]["session_id"] == str(chat_session.pk)
    assert read["message"]["metadata"]["success"] is True
    assert read["errors"] == []


def test_stream_of_a_failure(http: httpx2.Client, model: ToldModel, sdk: Path) -> None:
    model.fail()
    read = node(sdk, "parser.js", stdin=stream(http))
    assert "The model" in read["errors"][0]


class TestTools:
    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, django_db_setup: None, model_server: ToldModel) -> Iterator[str]:
        with serve(
            database_url(),
            None,
            "tests.agents_app.api.tool_agents:application",
            AGENT_MODEL="fake",
            AGENT_BASE_URL=model_server.base_url,
            API_REQUESTS_PER_MINUTE="0",
        ) as server:
            yield server.address

    @pytest.mark.parametrize("when", ["live", "repeated"])
    def test_call_and_result(
        self, http: httpx2.Client, model: ToldModel, sdk: Path, when: str
    ) -> None:
        model.will_say("Let me look.", ToolCall("weather", {"city": "Recife"}))
        model.will_say("It is ", "clear.")
        events = stream(http, **{"Idempotency-Key": "1"})
        if when == "repeated":
            events = stream(http, **{"Idempotency-Key": "1"})
        read = node(sdk, "parser.js", stdin=events)
        parts = {part["type"]: part for part in read["message"]["parts"]}
        tool = parts["tool-weather"]
        assert (tool["state"], tool["input"]) == ("output-available", {"city": "Recife"})
        assert tool["output"] == {"city": "Recife", "sky": "clear"}
        assert parts["text"]["text"].endswith("It is clear.")
        assert read["errors"] == []
        if when == "live":
            types = [part["type"] for part in read["message"]["parts"]]
            assert types == ["step-start", "text", "tool-weather", "step-start", "text"]

    def test_chunks(self, http: httpx2.Client, model: ToldModel) -> None:
        """The client gets the tool's result before the model continues."""
        model.will_say(ToolCall("weather", {"city": "Recife"}))
        headers = {"Accept": "text/event-stream"}
        body = {"message_content": "Hello"}
        with http.stream("POST", "agent/simple/run", json=body, headers=headers) as response:
            model.asked()
            answer = model.asked()
            types: list[str] = []
            lines = response.iter_lines()
            for line in lines:
                if line.startswith("data: {"):
                    types.append(json.loads(line.removeprefix("data: "))["type"])
                if types[-1:] == ["tool-output-available"]:
                    break
            answer.say("Clear.").end()
            assert "data: [DONE]" in list(lines)
        assert types == [
            *("start", "start-step", "tool-input-start", "tool-input-delta"),
            *("tool-input-available", "tool-output-available"),
        ]

    def test_wrong_call(self, http: httpx2.Client, model: ToldModel, sdk: Path) -> None:
        model.will_say(ToolCall("weather", {"town": "Recife"}))
        model.will_say("I cannot tell.")
        read = node(sdk, "parser.js", stdin=stream(http))
        parts = {part["type"]: part for part in read["message"]["parts"]}
        tool, text = parts["tool-weather"], parts["text"]
        assert (tool["state"], tool["input"]) == ("output-error", {"town": "Recife"})
        assert "city" in tool["errorText"]
        assert text["text"] == "I cannot tell."

    def test_without_a_stream(self, http: httpx2.Client, model: ToldModel) -> None:
        model.will_say(ToolCall("weather", {"city": "Recife"}))
        model.will_say("Clear.")
        answer = http.post("agent/simple/run", json={"message_content": "Hello"}).json()
        [call], [output] = answer["tool_calls"], answer["tool_outputs"]
        assert (call["tool_name"], answer["message"]) == ("weather", "Clear.")
        assert output["content"] == {"city": "Recife", "sky": "clear"}
        messages = http.get(f"sessions/{answer['session_id']}").json()["messages"]
        by_role = {message["role"]: message for message in messages if not message["content"]}
        assert by_role["assistant"]["tool_calls"] == {"0": call}
        assert by_role["tool"]["tool_outputs"] == {"0": output}
        hidden = http.get(f"sessions/{answer['session_id']}?hide_tools=true").json()
        assert {message["role"] for message in hidden["messages"]} == {"user", "assistant"}
        assert not any(message["tool_calls"] for message in hidden["messages"])


class TestUseChat:
    """With the transport that the documentation shows."""

    @pytest.fixture
    def chat(self, served: str, model: ToldModel, user: User, agent: Agent, sdk: Path) -> Any:
        description = api.get_openapi_schema()["info"]["description"]
        [transport] = re.findall("```js\n(.*?)```", description, re.DOTALL)
        transport = transport.replace("https://chat.example.org", served).strip()
        (sdk / "chat.js").write_text(CHAT.replace("TRANSPORT", transport))
        return lambda *texts: node(sdk, "chat.js", key_for(user), *texts)

    def test_conversation(self, chat: Any, model: ToldModel) -> None:
        model.will_say("Hi ", "there!")
        model.will_say("Bye.")
        read = chat("Hello", "Good night")
        assert (read["status"], read["errors"]) == ("ready", [])
        texts = [
            part["text"]
            for message in read["messages"]
            for part in message["parts"]
            if part["type"] == "text"
        ]
        assert texts == ["Hello", "Hi there!", "Good night", "Bye."]
        stored = Message.objects.filter(session=Session.objects.get()).order_by("position")
        assert list(stored.values_list("text_content", flat=True)) == texts

    def test_what_is_refused_says_why(self, chat: Any, agent: Agent) -> None:
        Agent.objects.update(active=False)
        read = chat("Hello")
        assert read["status"] == "error"
        assert "There is no active agent simple." in read["errors"][0]
        assert not Session.objects.exists()


class TestChatClient:
    """The client, which automatically retries what looks like a server error."""

    @pytest.fixture
    def call(self, served: str, model: ToldModel, user: User, agent: Agent, sdk: Path) -> Any:
        return lambda: node(sdk, "client.js", f"{served}/v1", key_for(user))

    def test_answer(self, call: Any, model: ToldModel) -> None:
        model.will_say("Hi!")
        assert call() == {"text": "Hi!"}

    def test_failure_is_not_repeated(self, call: Any, model: ToldModel) -> None:
        model.fail()
        failed = call()
        assert failed["status"] == 424
        assert str(Session.objects.get().pk) in failed["error"]
        assert Message.objects.count() == 1
