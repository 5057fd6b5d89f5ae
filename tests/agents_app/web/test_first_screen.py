"""The first screen: a greeting, the selected agent, and suggested prompts."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents_app.models import Agent
from sessions_app.models import Session
from tests.agents_app.chats import answered, ask, make_agent, make_user
from tests.agents_app.web.helpers import chat_url, html, message, new_chat, queries, shown
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)

STARTERS = "Plan a trip\nExplain <b>this</b> & that"


def selected(response: Any) -> str:
    [name] = re.findall(r'<option [^>]*selected data-name="([^"]+)"', shown(response))
    return str(name)


def written(response: Any) -> str:
    [text] = re.findall(r"<textarea[^>]*>\n?([^<]*)</textarea>", shown(response))
    return str(text).strip()


@pytest.mark.parametrize(
    ("names", "greeting"),
    [
        ({}, "Hello, <bdi>ana</bdi>"),
        ({"first_name": "Ana", "last_name": "Ruiz"}, "Hello, <bdi>Ana</bdi>"),
        ({"first_name": "<b>"}, "Hello, <bdi>&lt;b&gt;</bdi>"),
    ],
    ids=["username", "name", "markup"],
)
def test_greeting(page: Client, user: User, names: dict[str, str], greeting: str) -> None:
    User.objects.filter(pk=user.pk).update(**names)
    assert greeting in html(page.get("/chats/"))


# --- The agent -----------------------------------------------------------------


def test_agent_of_the_newest_chat_is_selected(page: Client, user: User, agent: Agent) -> None:
    other = make_agent("other", display_name="The other")
    assert selected(page.get("/chats/")) == "simple"
    ask(user, agent=other)
    ask(make_user("bo"), agent=agent)
    phantom(user=user, agent=agent)
    assert selected(page.get("/chats/")) == "The other"
    answered(user)
    assert selected(page.get("/chats/")) == "simple"


@pytest.mark.parametrize("lost", ["switched off", "deleted", "in the trash"])
def test_default_is_selected_when_the_last_used_agent_is_gone(
    page: Client, user: User, lost: str
) -> None:
    other = make_agent("another")
    make_agent("third")
    chat_session = ask(user, agent=other).session
    if lost == "switched off":
        make_agent("another", active=False)
    elif lost == "deleted":
        other.delete()
    else:
        Session.objects.filter(pk=chat_session.pk).update(trashed_at=chat_session.created_at)
    assert selected(page.get("/chats/")) == "simple"


def test_agent_that_was_chosen_is_selected_after_a_refusal(page: Client) -> None:
    other = make_agent("other")
    assert selected(page.post("/chats/", new_chat(other, " "))) == "other"


def test_only_agent_needs_no_choice(page: Client, agent: Agent) -> None:
    opened = html(page.get("/chats/"))
    assert "<select" not in opened
    assert f'<input type="hidden" name="agent" value="{agent.pk}">' in opened


def test_agents_are_offered_with_what_they_do(page: Client) -> None:
    make_agent("other", description="Sums up long texts. " * 10)
    opened = html(page.get("/chats/"))
    assert ">simple – Everyday questions</option>" in opened
    assert re.search(r">other – (Sums up long texts\. ?){2,3}[^<]{0,20}…</option>", opened)


@pytest.mark.parametrize("count", [7, 200])
def test_any_number_of_agents_is_offered_in_as_few_queries(
    page: Client, user: User, count: int
) -> None:
    chat_session = answered(user)
    for number in range(count - 1):
        make_agent(f"{number:03}", description="words " * 1000, starter_prompts=STARTERS)
    opened = page.get("/chats/")
    assert shown(opened).count("<option ") == count
    assert html(opened).count("<option ") == count + 1, "the frame has only the chat's own"
    # The login's session, the user, the agents, the sidebar's chats, those pinned.
    assert queries(lambda: page.get("/chats/")) == 5
    chat = html(page.get(chat_url(chat_session)))
    assert chat.count("<option ") == count
    Agent.objects.exclude(name="simple").delete()
    assert len(chat) < len(html(page.get(chat_url(chat_session)))) + 400 * count


def test_agents_are_shown_by_their_display_names(page: Client, user: User) -> None:
    chat_session = answered(user)
    make_agent("simple", display_name="Everyday <helper>")
    chat = html(page.get(chat_url(chat_session)))
    assert chat.count("Everyday &lt;helper&gt;") >= 3, "in the head, the heading and the composer"
    assert "Everyday <" not in chat
    assert ">simple<" not in chat
    assert "Everyday &lt;helper&gt;" in html(page.get("/chats/"))


@pytest.mark.parametrize(
    ("name", "initial"),
    [("simple", "S"), ("  élan", "É"), ("🤖 bot", "B"), ("🤖", "🤖"), ("ß", "S")],
)
def test_initial(name: str, initial: str) -> None:
    agent = Agent(name=name)
    assert agent.initial == initial
    assert agent.hue == Agent(name=name, display_name="Renamed").hue


# --- Suggested prompts -----------------------------------------------------------


def test_starter_prompts_fill_the_form(page: Client) -> None:
    make_agent("other")
    agent = make_agent("writer", starter_prompts=STARTERS)
    opened = page.get("/chats/", {"agent": agent.pk})
    assert selected(opened) == "writer"
    assert written(opened) == ""
    links = re.findall(r'<a href="([^"]+)"[^>]*data-starter>([^<]+)</a>', html(opened))
    assert [prompt for _, prompt in links] == [
        "Plan a trip",
        "Explain &lt;b&gt;this&lt;/b&gt; &amp; that",
    ]
    filled = page.get(links[1][0].replace("&amp;", "&"))
    assert selected(filled) == "writer"
    assert written(filled) == "Explain &lt;b&gt;this&lt;/b&gt; &amp; that"


def test_agent_without_starter_prompts_has_none(page: Client) -> None:
    assert "data-starter>" not in html(page.get("/chats/"))
    assert "Suggested prompts" not in html(page.get("/chats/"))


@pytest.mark.parametrize(
    "query",
    [
        *("agent=x&starter=0", "agent=987654&starter=7", "starter=-1", "starter=9" + "9" * 40),
        *("page=2", "page=x"),
    ],
)
def test_unknown_values_in_the_url_are_ignored(page: Client, query: str) -> None:
    make_agent("other")
    opened = page.get(f"/chats/?{query}")
    assert opened.status_code == 200
    assert selected(opened) == "simple"
    assert written(opened) == ""


def test_starter_prompts_of_another_agent(page: Client) -> None:
    agent = make_agent("writer", starter_prompts=STARTERS)
    url = reverse("agent-starters", args=[agent.pk])
    assert f"?agent={agent.pk}&amp;starter=1" in html(page.get(url))
    make_agent("writer", active=False)
    assert page.get(url).status_code == 404
    page.logout()
    assert page.get(url).status_code == 302


# --- Continuing with another agent -----------------------------------------------


def test_answers_name_the_agents_that_wrote_them(page: Client, user: User) -> None:
    chat_session = answered(user)
    other = make_agent("other", display_name="The other")
    page.post(chat_url(chat_session, "chat-send"), message() | {"agent": str(other.pk)})
    headings = re.findall(
        r'<h2>.*?<span class="agent-name"[^>]*>([^<]+)<',
        html(page.get(chat_url(chat_session))),
        re.DOTALL,
    )
    assert headings == ["simple", "The other"]
