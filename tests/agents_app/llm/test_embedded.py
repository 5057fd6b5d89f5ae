"""The embedded model, actually loaded: once per process, and closed."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic_ai.messages import ModelResponse
from pytest_django import Settings

from agents_app.agents import AgentFailed, RunResult, SimpleAgent
from agents_app.conversation import codec
from agents_app.llm import embedded
from agents_app.llm.embedded import EmbeddedModelMissing, Endpoint


@pytest.fixture(scope="module", autouse=True)
def close_afterwards() -> Iterator[None]:
    yield
    embedded.close()


@pytest.fixture
def endpoint() -> Endpoint:
    return embedded.endpoint()


@pytest.fixture(autouse=True)
def use_the_embedded_model(settings: Settings) -> None:
    settings.AGENT_MODEL, settings.AGENT_BASE_URL = "local", ""
    settings.AGENT_TIME_LIMIT, settings.AGENT_TOKEN_LIMIT = 60, 12


def call(endpoint: Endpoint, path: str, key: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    host = urlsplit(endpoint.base_url)
    assert host.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(host.netloc, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_concurrent_calls_get_one_server() -> None:
    embedded.close()
    together = threading.Barrier(8)

    def ask(_: int) -> Endpoint:
        together.wait()
        return embedded.endpoint()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1


def test_answers_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # must not apply to loopback

    async def collect() -> list[object]:
        agent = SimpleAgent({"name": "x", "system_prompt": "You are a helpful assistant."})
        return [piece async for piece in agent.stream("What is the capital of France?")]

    *pieces, result = asyncio.run(collect())
    assert len(pieces) > 2
    assert isinstance(result, RunResult)
    assert result.text == "".join(str(piece) for piece in pieces)
    [response] = codec.to_model_messages(result.rows)
    assert isinstance(response, ModelResponse)
    assert 2 < response.usage.output_tokens <= 12
    assert response.model_name == embedded.NAME


def test_the_server_requires_its_key(endpoint: Endpoint) -> None:
    assert endpoint.api_key not in repr(endpoint)
    assert call(endpoint, "/v1/models", "wrong")[0] == 401
    status, models = call(endpoint, "/v1/models", endpoint.api_key)
    assert (status, models["data"][0]["id"]) == (200, embedded.NAME)
    assert ".gguf" not in json.dumps(models), "the path is not exposed"
    for path in ("/", "/slots", "/metrics"):
        assert call(endpoint, path, endpoint.api_key)[0] in {404, 501}


def test_a_message_that_is_too_long_is_refused(endpoint: Endpoint) -> None:
    async def ask(prompt: str) -> list[object]:
        return [piece async for piece in SimpleAgent({"name": "x"}).stream(prompt)]

    with pytest.raises(AgentFailed, match="too long"):
        asyncio.run(ask("1 2 3 4 5 " * embedded.CONTEXT_TOKENS))
    assert call(endpoint, "/health", endpoint.api_key)[0] == 200


def test_closing_interrupts_answers(endpoint: Endpoint) -> None:
    outcomes: list[str] = []
    body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 500}

    def ask() -> None:
        try:
            call(endpoint, "/v1/chat/completions", endpoint.api_key, body)
            outcomes.append("answered")
        except (OSError, http.client.HTTPException):
            outcomes.append("interrupted")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads[0].join(0.3)
    embedded.close()
    for thread in threads:
        thread.join(10)
    assert set(outcomes) == {"interrupted"}
    assert embedded.endpoint() != endpoint, "loaded again"


def test_weights_that_cannot_be_loaded(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF nonsense")
    monkeypatch.setattr(embedded, "_find_weights", lambda: broken)
    embedded.close()
    with pytest.raises(EmbeddedModelMissing, match="the log says why"):
        embedded.endpoint()
