"""The facts that a run records about its answer, however it ends."""

import asyncio
import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pytest_django import Settings

from agents_app import services
from agents_app.agents import SimpleAgent
from agents_app.models import AgentRun, RunFacts, RunStatus
from agents_app.runs import dispatch
from tests.agents_app.scripts import Script, first_frame, wait_for
from tests.factories import say
from tests.model_server import ModelServer, served_model

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings: Settings) -> Iterator[ModelServer]:
    with served_model(ModelServer()) as running:
        settings.AGENT_MODEL, settings.AGENT_BASE_URL = "openai:served", running.base_url
        yield running


def answer(run: AgentRun) -> AgentRun:
    dispatch.submit(run.pk, run.user_id)
    return wait_for(run)


def ask_again(run: AgentRun, user: User, text: str = "And now?") -> AgentRun:
    return services.send_message(
        user=user, session_id=run.session_id, text=text, message_id=uuid.uuid4()
    )


def test_finished_run_knows_what_the_provider_reports(run: AgentRun, server: ModelServer) -> None:
    run = answer(run)
    assert run.status == RunStatus.DONE
    assert (run.model, run.input_tokens, run.output_tokens) == ("served", 5, 2)
    assert (run.cost, run.truncated, run.context_from) == (None, False, None)
    assert run.first_token_at
    assert run.finished_at
    assert run.created_at <= run.first_token_at <= run.finished_at


def test_answer_that_ended_at_the_token_limit(run: AgentRun, server: ModelServer) -> None:
    server.finish_reason = "length"
    assert answer(run).truncated


def test_failed_run_keeps_what_is_known(run: AgentRun, server: ModelServer) -> None:
    server.resets = True
    run = answer(run)
    assert run.status == RunStatus.INTERRUPTED
    assert (run.model, run.text, run.cost) == ("served", "Hello", None)
    assert run.first_token_at


def test_stopped_run_keeps_what_is_known(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good ")
    dispatch.submit(run.pk, run.user_id)
    asyncio.run(first_frame(run))
    services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    assert wait_for(run).status == RunStatus.STOPPED
    assert script.closed.wait(30)
    assert run.first_token_at


def test_where_the_context_begins(
    run: AgentRun, server: ModelServer, ana: User, settings: Settings
) -> None:
    settings.AGENT_CONTEXT_TOKENS, settings.AGENT_TOKEN_LIMIT = 1000, 100
    server.pieces = ["word " * 100]
    answer(run)
    server.pieces = ["Fine"]
    assert answer(second := ask_again(run, ana, "long " * 300)).context_from is None
    third = answer(ask_again(run, ana, "And long " * 100))
    assert third.context_from == second.message.position == 3
    assert "Hello" not in str(server.requests[-1]["messages"])
    fourth = answer(ask_again(run, ana, "really long " * 180))
    assert fourth.context_from == fourth.message.position == 7
    assert len(server.requests[-1]["messages"]) == 1


def test_greeting_that_no_turn_begins_with_is_not_sent(
    run: AgentRun, server: ModelServer, ana: User
) -> None:
    say(run.session, "Hello!", role="assistant", agent=run.agent, user=ana)
    run.finish(RunStatus.DONE)
    assert answer(ask_again(run, ana)).context_from is None


def test_absurd_numbers_of_a_provider_do_not_fail_the_run(
    run: AgentRun, server: ModelServer
) -> None:
    server.usage = {"prompt_tokens": 10**12, "completion_tokens": 2}
    run = answer(run)
    assert (run.status, run.input_tokens, run.output_tokens) == (RunStatus.DONE, None, 2)


@pytest.mark.parametrize(
    ("name", "cost"), [("gpt-4.1-mini", Decimal("0.000005")), ("their-own", None)]
)
def test_cost_where_the_price_is_known(
    server: ModelServer, name: str, cost: Decimal | None
) -> None:
    server.model = name
    provider = OpenAIProvider(base_url=server.base_url, api_key="key-1")
    facts = RunFacts()

    agent = SimpleAgent({"name": "x"}, model=OpenAIChatModel(name, provider=provider))
    asyncio.run(agent.answer("Hi", facts=facts))
    assert (facts.model, facts.cost) == (name, cost)


def test_own_server_sets_no_price(run: AgentRun, server: ModelServer) -> None:
    server.model = "gpt-4.1-mini"
    run = answer(run)
    assert (run.model, run.cost) == ("gpt-4.1-mini", None)
