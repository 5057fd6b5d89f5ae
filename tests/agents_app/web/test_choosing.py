"""Which agent continues a chat: its own, another one from now on, or a substitute."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.models import Agent, AgentRun
from sessions_app.models import Session
from tests.agents_app.chats import answered, failed, make_agent
from tests.agents_app.web.helpers import JSON, chat_url, html, message, queries, rows, run_url

pytestmark = pytest.mark.django_db(transaction=True)


def delete_agent() -> None:
    Agent.objects.all().delete()


def switch_off() -> None:
    Agent.objects.update(active=False)


LOSE = pytest.mark.parametrize("lose", [delete_agent, switch_off])
Lose = Callable[[], None]


def offered(response: Any) -> list[str]:
    """The agents that have to be chosen; the chat's own is the default."""
    page = html(response)
    form = page[page.index("data-message-form") :]
    return re.findall(r'<option value="\d+"[^>]*>([^<]+)</option>', form)


def marked(response: Any) -> bool:
    return 'name="is_substitute"' in html(response)


@LOSE
def test_agents_are_offered_where_one_is_needed(page: Client, user: User, lose: Lose) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session)
    assert not offered(page.get(url))
    assert not marked(page.get(url))
    lose()
    for name in ("summary", "translator"):
        make_agent(name)
    make_agent("off", active=False)
    assert offered(page.get(url)) == ["summary", "translator"]
    assert marked(page.get(url))
    # The login's session, the user, the chat with its agent, its messages, their runs, other
    # versions of answers and of questions, agents, the sidebar's chats, those pinned.
    assert queries(lambda: page.get(url)) == 10

    unanswered = page.post(chat_url(chat_session, "chat-send"), message())
    assert unanswered.status_code == 400
    assert "choose" in html(unanswered)
    assert "And then?</textarea>" in html(unanswered)
    garbled = page.post(chat_url(chat_session, "chat-send"), message() | {"agent": "x"})
    assert garbled.status_code == 400
    assert "Choose an agent." in html(garbled)


@LOSE
def test_chat_continues_with_the_chosen_agent(page: Client, user: User, lose: Lose) -> None:
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
    assert offered(shown) == ["another"]
    assert not marked(shown)


def test_chat_continues_with_another_agent_from_now_on(page: Client, user: User) -> None:
    chat_session = answered(user)
    first, other = chat_session.agent, make_agent("other")
    url = chat_url(chat_session, "chat-send")
    shown = page.get(chat_url(chat_session))
    assert offered(shown) == ["other"]
    assert re.search(r'<option value="" selected data-name="simple"', html(shown))

    assert page.post(url, message("Over to you") | {"agent": str(other.pk)}).status_code == 303
    run = AgentRun.objects.active().get()
    assert (run.agent, run.message.agent) == (other, other)
    assert run.finish(AgentRun.Status.DONE)
    # What is loaded, or was before, says nothing about the agent unless one is chosen.
    assert page.post(url, message("Go on") | {"agent": ""}).status_code == 303
    assert AgentRun.objects.active().get().agent == other
    assert Session.objects.get().agent == other
    assert list(AgentRun.objects.order_by("created_at").values_list("agent", flat=True)) == [
        *(first and first.pk, other.pk, other.pk)
    ]


@pytest.mark.parametrize("chosen", ["off", "missing"])
def test_agent_that_cannot_answer_is_not_switched_to(page: Client, user: User, chosen: str) -> None:
    chat_session = answered(user)
    key = make_agent("off", active=False).pk if chosen == "off" else 987654
    before = rows()
    form = message() | {"agent": str(key)}
    refused = page.post(chat_url(chat_session, "chat-send"), form)
    assert refused.status_code == 400
    assert "choose another one" in html(refused)
    assert "And then?</textarea>" in html(refused)
    assert rows() == before
    assert Session.objects.get().agent == chat_session.agent


def test_choice_is_shown_again_with_a_message_that_was_refused(page: Client, user: User) -> None:
    chat_session = answered(user)
    other = make_agent("other")
    form = message(" ") | {"agent": str(other.pk)}
    refused = page.post(chat_url(chat_session, "chat-send"), form)
    assert refused.status_code == 400
    assert re.search(rf'<option value="{other.pk}" selected', html(refused))


def test_switching_is_repeated_by_a_second_submit_only(page: Client, user: User) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session, "chat-send")
    form = message() | {"agent": str(make_agent("other").pk)}
    first = page.post(url, form)
    assert page.post(url, form)["Location"] == first["Location"]
    assert page.post(url, form | {"agent": str(make_agent("third").pk)}).status_code == 409
    assert Session.objects.get().agent == make_agent("other")


def test_agent_that_was_picked_in_another_tab_is_kept(page: Client, user: User) -> None:
    """The form was loaded while the chat had no agent."""
    chat_session = answered(user)
    form = message() | {"agent": str(make_agent("other").pk), "is_substitute": "on"}
    before = rows()
    refused = page.post(chat_url(chat_session, "chat-send"), form)
    assert refused.status_code == 409
    assert "Another agent has since been chosen" in html(refused)
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
    assert "this chat is read-only" in html(page.get(chat_url(chat_session)))
