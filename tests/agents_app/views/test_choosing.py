"""A chat without an agent, or with one that is switched off: the person picks one there."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.models import Agent, AgentRun
from sessions_app.models import Session
from tests.agents_app.chats import answered, failed, make_agent
from tests.agents_app.views.helpers import JSON, chat_url, html, message, queries, rows, run_url

pytestmark = pytest.mark.django_db(transaction=True)


def delete_agent() -> None:
    Agent.objects.all().delete()


def switch_off() -> None:
    Agent.objects.update(active=False)


LOSE = pytest.mark.parametrize("lose", [delete_agent, switch_off])
Lose = Callable[[], None]


def offered(response: Any) -> list[str]:
    return re.findall(r'<option value="\d+"[^>]*>([^<]+)</option>', html(response))


@LOSE
def test_agents_are_offered_where_one_is_needed(page: Client, user: User, lose: Lose) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session)
    assert not offered(page.get(url))
    lose()
    for name in ("summary", "translator"):
        make_agent(name)
    make_agent("off", active=False)
    assert offered(page.get(url)) == ["summary", "translator"]
    # The login's session, the user, the chat with its agent, its messages, their runs, agents.
    assert queries(lambda: page.get(url)) == 6

    unanswered = page.post(chat_url(chat_session, "chat-send"), message())
    assert unanswered.status_code == 400
    assert "choose" in html(unanswered)
    assert "And then?</textarea>" in html(unanswered)
    garbled = page.post(chat_url(chat_session, "chat-send"), message() | {"agent": "x"})
    assert garbled.status_code == 400
    assert "Choose an agent." in html(garbled)


@LOSE
def test_chat_goes_on_with_the_agent_that_is_picked(page: Client, user: User, lose: Lose) -> None:
    chat_session = answered(user)
    lose()
    make_agent("another")
    picked = make_agent("picked")
    form = message() | {"agent": str(picked.pk)}
    assert page.post(chat_url(chat_session, "chat-send"), form).status_code == 303
    assert AgentRun.objects.active().get().agent == picked
    assert Session.objects.get().agent == picked
    shown = page.get(chat_url(chat_session))
    assert "with picked" in html(shown)
    assert not offered(shown)


def test_agent_that_was_picked_in_another_tab_is_kept(page: Client, user: User) -> None:
    chat_session = answered(user)
    form = message() | {"agent": str(make_agent("other").pk)}
    before = rows()
    refused = page.post(chat_url(chat_session, "chat-send"), form)
    assert refused.status_code == 409
    assert "Another agent was chosen" in html(refused)
    assert "And then?</textarea>" in html(refused)
    assert rows() == before
    assert Session.objects.get().agent == chat_session.agent


@LOSE
def test_retry_with_the_agent_that_is_picked(page: Client, user: User, lose: Lose) -> None:
    run = failed(user)
    lose()
    picked = make_agent("picked")
    shown = html(page.get(chat_url(run.session)))
    retry = shown[shown.index("data-retry") :]
    assert f'<option value="{picked.pk}">picked</option>' in retry[: retry.index("</form>")]
    url = run_url(run, "chat-retry")
    assert page.post(url, headers=JSON).status_code == 400
    assert page.post(url, {"agent": "x"}, headers=JSON).status_code == 400
    assert page.post(url, {"agent": str(picked.pk)}).status_code == 303
    again = AgentRun.objects.active().get()
    assert (again.agent, again.message) == (picked, run.message)
    assert Session.objects.get().agent == picked


def test_without_any_agent_a_chat_can_only_be_read(page: Client, user: User) -> None:
    chat_session = answered(user)
    switch_off()
    assert "this chat can only be read" in html(page.get(chat_url(chat_session)))
