"""SimpleAgent: what it streams, what it stores, and how it fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import override_allow_model_requests
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel
from pytest_django import DjangoAssertNumQueries, Settings

from agents_app.agents import AgentFailed, ResponseInterrupted, RunResult, SimpleAgent
from agents_app.conversation import codec
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.writing import SessionGone
from tests.factories import make_session
from tests.model_server import ModelServer, served_model

Stream = Callable[[list[ModelMessage], AgentInfo], AsyncIterator[Any]]


@pytest.fixture(autouse=True)
def agent_settings(settings: Settings) -> None:
    settings.AGENT_MODEL = settings.AGENT_BASE_URL = settings.AGENT_API_KEY = ""
    settings.AGENT_TIME_LIMIT, settings.AGENT_TOKEN_LIMIT = 10, 500
    settings.AGENT_CONTEXT_TOKENS = 4000


@pytest.fixture(autouse=True)
def no_requests() -> Iterator[None]:
    with override_allow_model_requests(False):
        yield


@pytest.fixture
def server(settings: Settings) -> Iterator[ModelServer]:
    with served_model(ModelServer()) as running, override_allow_model_requests(True):
        settings.AGENT_MODEL, settings.AGENT_BASE_URL = "openai:served", running.base_url
        settings.AGENT_API_KEY = "key-1"
        yield running


def agent_saying(stream: Stream, **config: Any) -> SimpleAgent:
    return SimpleAgent({"name": "simple", **config}, model=FunctionModel(stream_function=stream))


async def collect(
    agent: SimpleAgent, prompt: str = "Hi", history: list[ModelMessage] | None = None
) -> tuple[list[str], RunResult]:
    pieces = [piece async for piece in agent.stream(prompt, message_history=history or [])]
    result = pieces.pop()
    assert isinstance(result, RunResult)
    return [piece for piece in pieces if isinstance(piece, str)], result


def ask(agent: SimpleAgent, *args: Any) -> tuple[list[str], RunResult]:
    return asyncio.run(collect(agent, *args))


def failure(agent: SimpleAgent, *args: Any) -> str:
    with pytest.raises(AgentFailed) as failed:
        ask(agent, *args)
    return failed.value.for_staff


def turns(count: int, length: int = 30) -> list[ModelMessage]:
    return [
        message
        for number in range(count)
        for message in (
            ModelRequest([UserPromptPart(f"Q{number} ".ljust(length, "x"))]),
            ModelResponse([TextPart(f"A{number} ".ljust(length, "y"))]),
        )
    ]


# --- Building ------------------------------------------------------------------


@pytest.mark.django_db
def test_building_agents_touches_no_session(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    row = Agent.objects.get(name="simple")
    with django_assert_num_queries(0):
        agents = [SimpleAgent.for_row(row) for _ in range(50)]
        agents += [SimpleAgent({"name": f"agent {number}"}) for number in range(50)]
    assert len({id(agent.message_history) for agent in agents}) == 100
    assert {agent.message_history.session_id for agent in agents} == {None}
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_a_row_describes_an_agent() -> None:
    row = Agent(pk=7, name="poet", model="openai:gpt-4.1", system_prompt="Rhyme.")
    for config, temperature in (
        ({"temperature": "0.7"}, 0.7),  # as Automagik wrote it
        ({"temperature": 0}, 0.0),
        ({"temperature": "warm", "tools": ["x"]}, None),
        (["nonsense"], None),
    ):
        row.config = config
        agent = SimpleAgent.for_row(row)
        assert (agent.name, agent.model_string, agent.agent_id) == ("poet", "openai:gpt-4.1", 7)
        assert agent._model_settings.get("temperature") == temperature


# --- Answering -----------------------------------------------------------------


def test_pieces_come_as_the_model_makes_them() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for piece in ("Hel", "lo", " Ana"):
            yield piece

    pieces, result = ask(agent_saying(stream))
    assert pieces == ["Hel", "lo", " Ana"]
    assert result.text == "Hello Ana"
    assert not result.truncated
    [response] = codec.to_model_messages(result.rows)
    assert isinstance(response, ModelResponse)
    assert response.usage.output_tokens > 0
    assert response.text == "Hello Ana"


def test_a_piece_is_handed_on_before_the_next_one_exists() -> None:
    go_on = asyncio.Event()

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "first"
        await go_on.wait()
        yield "second"

    async def read() -> list[str | RunResult]:
        pieces = []
        async for piece in agent_saying(stream).stream("Hi"):
            pieces.append(piece)
            go_on.set()
        return pieces[:2]

    assert asyncio.run(read()) == ["first", "second"]


def test_tools_are_called_and_what_they_returned_is_among_the_messages() -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
            yield "It is 4."
        else:
            yield "Let me see."
            yield {1: DeltaToolCall("double", '{"number": 2}', tool_call_id="c1")}

    def double(number: int) -> int:
        return 2 * number

    for agent in (
        agent_saying(stream, tools=[double]),
        SimpleAgent({"name": "x"}, model=FunctionModel(stream_function=stream), tools=[double]),
    ):
        pieces, result = ask(agent, "Double 2")
        assert "".join(pieces) == "Let me see.\n\nIt is 4."
        assert result.text == "It is 4."
        new_messages = codec.to_model_messages(result.rows)
        assert [[part.part_kind for part in message.parts] for message in new_messages] == [
            ["text", "tool-call"],
            ["tool-return"],
            ["text"],
        ]


def sent_by(agent: SimpleAgent, history: list[ModelMessage]) -> list[ModelMessage]:
    """What the model is sent."""
    seen: list[ModelMessage] = []

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.extend(messages)
        yield "Yes"

    agent._model = FunctionModel(stream_function=stream)
    ask(agent, "Hi", history)
    return seen


def test_the_system_prompt_of_a_session_takes_the_place_of_the_agents() -> None:
    agent = SimpleAgent({"name": "x", "system_prompt": "Be kind."})
    [request] = sent_by(agent, [])
    assert isinstance(request, ModelRequest)
    assert request.instructions == "Be kind."
    requests = sent_by(agent, [ModelRequest([SystemPromptPart("Be brief.")])])
    assert {request.instructions for request in requests if isinstance(request, ModelRequest)} == {
        None
    }
    assert requests[0].parts[0].content == "Be brief."  # type: ignore[union-attr]


def test_the_history_is_bounded_by_the_context(settings: Settings) -> None:
    settings.AGENT_CONTEXT_TOKENS, settings.AGENT_TOKEN_LIMIT = 1000, 200
    agent = SimpleAgent({"name": "x"})
    messages = sent_by(agent, turns(1000))
    assert 50 < len(messages) < 60
    assert messages[0].parts[0].part_kind == "user-prompt"
    assert agent.history_budget("x" * 30_000) < 0
    settings.AGENT_MODEL = "local"
    settings.AGENT_CONTEXT_TOKENS = 100_000
    assert agent.history_budget("Hi") < 2000, "the embedded model has less"


# --- Storing -------------------------------------------------------------------


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ana")


def test_an_attached_agent_stores_the_turn(user: User) -> None:
    row = Agent.objects.get(name="simple")
    chat_session = make_session(user=user)
    agent = SimpleAgent.for_row(row)
    agent._model = TestModel(custom_output_text="Hello")
    agent.attach(chat_session.pk, user_id=user.pk)
    assert async_to_sync(agent.run)("Hi") == "Hello"
    assert async_to_sync(agent.run)("Hi again") == "Hello"
    rows = Message.objects.order_by("position")
    assert [(row.role, row.text_content) for row in rows] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Hi again"),
        ("assistant", "Hello"),
    ]
    assert {(message.user_id, message.agent_id) for message in rows} == {(user.pk, row.pk)}


def test_a_failed_answer_is_not_stored(user: User) -> None:
    chat_session = make_session(user=user)
    agent = SimpleAgent({"name": "x"}, model=TestModel(custom_output_text=" "))
    agent.attach(chat_session.pk, user_id=user.pk)
    with pytest.raises(AgentFailed):
        async_to_sync(agent.run)("Hi")
    assert [row.role for row in Message.objects.all()] == ["user"]


@pytest.mark.django_db
def test_only_a_session_that_exists_can_be_attached() -> None:
    agent = SimpleAgent({"name": "x"})
    local = agent.message_history
    for session_id in (uuid4(), "nonsense"):
        with pytest.raises(SessionGone):
            agent.attach(session_id, user_id=1)  # type: ignore[arg-type]
    assert agent.message_history is local
    assert not Session.objects.exists()


def test_without_a_session_the_conversation_is_in_memory() -> None:
    agent = SimpleAgent({"name": "x"}, model=TestModel(custom_output_text="Hello"))
    asyncio.run(agent.run("Hi"))
    asyncio.run(agent.run("Hi again"))
    assert len(agent.message_history.all_messages()) == 4


# --- Over the network ----------------------------------------------------------


def test_an_openai_compatible_server(server: ModelServer) -> None:
    pieces, result = ask(SimpleAgent({"name": "x", "temperature": "0.5", "max_tokens": 50}))
    assert pieces == ["Hel", "lo"]
    [response] = codec.to_model_messages(result.rows)
    assert isinstance(response, ModelResponse)
    assert response.usage.output_tokens == 2
    [request] = server.requests
    assert (request["model"], request["stream"], request["temperature"]) == ("served", True, 0.5)
    assert request["max_tokens"] == 50, "the field that Ollama heeds"
    assert server.keys == ["Bearer key-1"]


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, {"message": "Bad key sk-secret", "code": "invalid_api_key"}, "refused the API key"),
        (403, {"message": "Not you, sk-secret"}, "refused the API key"),
        (404, {"message": "No model sk-secret"}, "does not know this model"),
        (429, {"message": "Slow down, sk-secret"}, "busy"),
        (429, {"message": "sk-secret", "code": "insufficient_quota"}, "quota"),
        (400, {"message": "sk-secret", "code": "context_length_exceeded"}, "too long"),
        (400, {"message": "sk-secret", "type": "exceed_context_size_error"}, "too long"),
        (400, {"message": "sk-secret"}, "refused the request"),
        (500, {"message": "sk-secret"}, "has a problem"),
        (503, {"message": "sk-secret"}, "has a problem"),
    ],
)
def test_errors_of_the_server_are_put_in_plain_words(
    status: int,
    error: dict[str, Any],
    text: str,
    server: ModelServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.error = status, error
    message = failure(SimpleAgent({"name": "x"}))
    assert text in message
    assert "secret" not in message + caplog.text
    assert str(status) in caplog.text


def test_a_server_that_is_not_there(settings: Settings, server: ModelServer) -> None:
    settings.AGENT_BASE_URL = "http://127.0.0.1:9/v1"
    assert failure(SimpleAgent({"name": "x"})).startswith(
        "The model's server cannot be reached. Staff have been notified."
    )


def test_a_server_that_stops_talking(settings: Settings, server: ModelServer) -> None:
    settings.AGENT_TIME_LIMIT = 0.3
    server.hangs = True
    assert "did not answer within 0.3 seconds. Try again." in failure(SimpleAgent({"name": "x"}))
    assert server.client_left.wait(5)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_going_away_closes_the_request(how: str, server: ModelServer) -> None:
    server.hangs = True

    async def go_away() -> None:
        first = asyncio.Event()

        async def read() -> None:
            async with aclosing(SimpleAgent({"name": "x"}).stream("Hi")) as pieces:
                async for _ in pieces:
                    first.set()
                    if how == "closed":
                        break

        task = asyncio.create_task(read())
        await first.wait()
        if how == "cancelled":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        assert await asyncio.to_thread(server.client_left.wait, 5)

    asyncio.run(go_away())


def test_a_history_that_was_underestimated_is_shortened(server: ModelServer) -> None:
    server.max_characters = 1500
    pieces, _ = ask(SimpleAgent({"name": "x"}), "Hi", turns(40))
    assert pieces == ["Hel", "lo"]
    lengths = [len(request["messages"]) for request in server.requests]
    assert lengths[0] == 81
    assert lengths == sorted(lengths, reverse=True)
    assert 1 < lengths[-1] < 40
    assert server.requests[-1]["messages"][0]["role"] == "user"


def test_connections_are_kept_alive_for_the_next_run(server: ModelServer) -> None:
    from agents_app.llm import clients

    async def twice() -> asyncio.AbstractEventLoop:
        first = await clients.open_model("")
        together = await asyncio.gather(clients.open_model(""), clients.open_model(""))
        assert all(model is first for model in together)
        return asyncio.get_running_loop()

    assert asyncio.run(twice()) not in clients._opened, "closed with the event loop"


# --- Other failures ------------------------------------------------------------


def test_nothing_configured() -> None:
    assert "Set AGENT_MODEL" in failure(SimpleAgent({"name": "x"}))


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_answer_is_a_failure(text: str) -> None:
    agent = SimpleAgent({"name": "x"}, model=TestModel(custom_output_text=text))
    assert failure(agent).startswith("The model gave an empty answer. Try again.")


def test_an_answer_that_grows_too_long(settings: Settings) -> None:
    settings.AGENT_TOKEN_LIMIT = 5

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for _ in range(100):
            yield "word "

    assert "token limit" in failure(agent_saying(stream))


def test_an_answer_cut_off_by_the_model_is_an_answer(server: ModelServer) -> None:
    assert not ask(SimpleAgent({"name": "x"}))[1].truncated
    server.finish_reason = "length"
    _, result = ask(SimpleAgent({"name": "x"}))
    assert (result.text, result.truncated) == ("Hello", True)


@pytest.mark.filterwarnings("ignore:Some responses omitted usage")
@pytest.mark.parametrize("how", ["without a word", "in the middle of the connection"])
def test_an_answer_that_the_provider_breaks_off_is_a_failure(server: ModelServer, how: str) -> None:
    if how == "without a word":
        server.finish_reason = None
    else:
        server.resets = True
    seen: list[str | RunResult] = []

    async def read() -> None:
        async with aclosing(SimpleAgent({"name": "x"}).stream("Hi")) as pieces:
            async for piece in pieces:
                seen.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ResponseInterrupted, match="closed the connection"):
        asyncio.run(read())
    assert seen == ["Hel", "lo"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_characters_that_cannot_be_stored(text: str) -> None:
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield text

    assert "cannot be stored" in failure(agent_saying(stream))
    assert "cannot be stored" in failure(agent_saying(stream), text)


def test_a_broken_tool_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:

    def broken() -> str:
        raise KeyError("secret")

    agent = SimpleAgent({"name": "x"}, model=TestModel(), tools=[broken])
    message = failure(agent)
    text = "Something went wrong while the agent was answering. Staff have been notified."
    assert message.startswith(f"{text}\nKeyError")
    assert "secret" not in message
    assert "KeyError" in caplog.text


def test_the_time_limit_does_not_interrupt_the_reader(settings: Settings) -> None:
    settings.AGENT_TIME_LIMIT = 1

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(10)
        yield "second"

    async def read_slowly() -> str:
        pieces = agent_saying(stream).stream("Hi")
        await anext(pieces)
        await asyncio.sleep(1.2)  # the limit passes while the reader does something else
        with pytest.raises(AgentFailed) as failed:
            await anext(pieces)
        return str(failed.value)

    assert "did not answer within" in asyncio.run(read_slowly())


def test_cancelling_is_not_a_failure() -> None:
    started = asyncio.Event()

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        started.set()
        await asyncio.sleep(10)
        yield "late"

    async def cancel() -> None:
        running: Awaitable[Any] = collect(agent_saying(stream))
        task = asyncio.ensure_future(running)
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
