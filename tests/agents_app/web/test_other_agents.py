"""Another answer from another agent: offered next to Regenerate, recorded per answer."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic_ai.messages import ModelResponse, TextPart

from agents_app.conversation import codec
from agents_app.models import Agent, AgentRun
from agents_app.runs import storage
from sessions_app.models import Message, Session
from tests.agents_app.chats import ask, failed, make_agent, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, message, queries, read_events, rows
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db(transaction=True)


def answer(run: AgentRun, text: str) -> AgentRun:
    """End the run with an answer, as a worker does."""
    response = ModelResponse(parts=[TextPart(text)])
    assert storage.store_answer(run, run.attempt, codec.to_rows([response]))
    run.refresh_from_db()
    return run


def active() -> AgentRun:
    return AgentRun.objects.active().select_related("session", "message", "agent").get()


def regenerate_url(question: Message) -> str:
    return chat_url(question.session, "chat-regenerate", message_id=question.pk)


def offered(response: Any) -> list[tuple[str, str]]:
    """The agents of the menu next to Regenerate, each with its name."""
    menu = html(response).partition("data-other-agents")[2].partition("data-stop-form")[0]
    buttons = re.findall(
        r'<button form="regenerate" name="agent" value="(\d+)"[^>]*>(.*?)</button>', menu, re.DOTALL
    )
    # If there are few agents, the name has a picture and a description.
    name = r'(?:.*class="agent-name"[^>]*>)?([^<]*)'
    return [(key, re.match(name, shown, re.DOTALL)[1]) for key, shown in buttons]  # type: ignore[index]


def test_another_agent_answers_again(
    page: Client, user: User, agent: Agent, submitted: list[uuid.UUID]
) -> None:
    first = answer(ask(user), "Prose")
    poet = make_agent("poet", display_name="The poet")
    shown = page.get(chat_url(first.session))
    assert offered(shown) == [(str(poet.pk), "The poet")]
    assert 'popovertarget="other-agents"' in html(shown)

    response = page.post(regenerate_url(first.message), {"agent": str(poet.pk)})
    second = active()
    assert response["Location"] == f"{chat_url(first.session)}#run-{second.pk}"
    assert submitted[1:] == [second.pk]
    assert (second.agent, second.message) == (poet, first.message)
    answer(second, "Verse")
    rest = Message.objects.filter(role="assistant").order_by("position")
    assert list(rest.values_list("text_content", "agent", "run", "set_aside_with")) == [
        ("Prose", agent.pk, first.pk, first.pk),
        ("Verse", poet.pk, second.pk, None),
    ]
    # From now on the chat goes on with it; each answer still says whose it is.
    shown = page.get(chat_url(first.session))
    assert "with The poet" in html(shown)
    assert offered(shown) == [(str(agent.pk), agent.name)]
    assert re.search(r'id="m3">\s*<h2>.*?The poet', html(shown), re.DOTALL)
    assert "Previous version, by simple" in html(shown)
    page.post(chat_url(first.session, "chat-send"), message())
    assert active().agent == poet
    active().finish(AgentRun.Status.DONE)

    page.post(chat_url(first.session, "chat-version"), {"head": str(first.pk)})
    shown = page.get(chat_url(first.session))
    assert re.search(r'id="m2">\s*<h2>.*?simple', html(shown), re.DOTALL)
    assert "Next version, by The poet" in html(shown)


def test_the_other_agent_is_sent_the_chosen_line_with_its_own_prompt(
    page: Client, user: User
) -> None:
    first = answer(ask(user), "Prose")
    poet = make_agent("poet", system_prompt="Rhyme.")
    page.post(regenerate_url(first.message), {"agent": str(poet.pk)})
    run_input = storage.start(active().pk)
    assert run_input is not None
    assert run_input.agent.system_prompt == "Rhyme."
    assert (run_input.prompt, run_input.history) == ("Hello", [])


def test_versions_of_one_agent_do_not_name_it(page: Client, user: User) -> None:
    first = answer(ask(user), "One way")
    page.post(regenerate_url(first.message))
    answer(active(), "Another way")
    shown = html(page.get(chat_url(first.session)))
    assert "Version 2 of 2" in shown
    assert "version, by" not in shown


def test_with_one_active_agent_nothing_is_offered(page: Client, user: User) -> None:
    first = answer(ask(user), "Prose")
    make_agent("off", active=False)
    shown = page.get(chat_url(first.session))
    assert regenerate_url(first.message) in html(shown)
    assert offered(shown) == []
    # The styles hide the button without this.
    assert 'id="other-agents"' not in html(shown)


def test_offering_agents_takes_no_queries(page: Client, user: User) -> None:
    first = answer(ask(user), "Prose")
    page.get(chat_url(first.session))  # the first page also reads what is then remembered
    without = queries(lambda: page.get(chat_url(first.session)))
    for number in range(30):
        make_agent(f"agent {number}")
    assert queries(lambda: page.get(chat_url(first.session))) == without
    assert len(offered(page.get(chat_url(first.session)))) == 30


@pytest.mark.parametrize("chosen", ["off", "missing", "x", str(2**70)])
def test_an_agent_that_cannot_answer_changes_nothing(
    page: Client, user: User, chosen: str, agent: Agent
) -> None:
    first = answer(ask(user), "Prose")
    keys = {"off": str(make_agent("off", active=False).pk), "missing": "987654"}
    before = rows()
    url, form = regenerate_url(first.message), {"agent": keys.get(chosen, chosen)}
    refused = page.post(url, form)
    assert refused.status_code == 400
    assert "hoose a" in html(refused)
    assert page.post(url, form, headers=JSON).status_code == 400
    assert rows() == before
    assert Session.objects.get().agent == agent
    assert Message.objects.chosen().count() == 2


def test_other_peoples_answers_are_left_alone(page: Client) -> None:
    poet = make_agent("poet")
    first = answer(ask(make_user("bo")), "Prose")
    before = rows()
    refused = page.post(regenerate_url(first.message), {"agent": str(poet.pk)})
    assert refused.status_code == 404
    assert rows() == before
    assert Session.objects.get().agent != poet


def test_an_earlier_answer_does_not_change_the_chats_agent(
    page: Client, user: User, agent: Agent
) -> None:
    first = answer(ask(user), "Prose")
    page.post(chat_url(first.session, "chat-send"), message())
    poet = {"agent": str(make_agent("poet").pk)}
    assert page.post(regenerate_url(first.message), poet).status_code == 409, "one is being written"
    answer(active(), "More prose")
    assert page.post(regenerate_url(first.message), poet).status_code == 409
    assert Session.objects.get().agent == agent


def delete_agent() -> None:
    Agent.objects.filter(name="simple").delete()


def switch_off() -> None:
    Agent.objects.filter(name="simple").update(active=False)


@pytest.mark.parametrize("lose", [delete_agent, switch_off])
def test_a_chat_that_has_lost_its_agent(page: Client, user: User, lose: Callable[[], None]) -> None:
    first = answer(ask(user), "Prose")
    lose()
    poet = make_agent("poet")
    shown = page.get(chat_url(first.session))
    assert offered(shown) == [(str(poet.pk), "poet")]
    assert 'title="Regenerate">' not in html(shown), "nobody would answer"
    assert page.post(regenerate_url(first.message)).status_code == 400
    assert page.post(regenerate_url(first.message), {"agent": str(poet.pk)}).status_code == 303
    assert active().agent == poet
    assert Session.objects.get().agent == poet


def test_after_a_failure_another_agent_answers(page: Client, user: User) -> None:
    first = failed(user)
    poet = make_agent("poet")
    shown = html(page.get(chat_url(first.session)))
    failure = shown.partition('class="failure"')[2].partition("data-other-agents")[0]
    assert "Another agent" in failure
    assert shown.count('id="regenerate"') == 1
    page.post(regenerate_url(first.message), {"agent": str(poet.pk)})
    assert (active().agent, active().message) == (poet, first.message)
    answer(active(), "Verse")
    assert "Previous version, by simple" in html(page.get(chat_url(first.session)))


def test_an_imported_answer_gets_another_agents_version(
    page: Client, user: User, agent: Agent
) -> None:
    chat_session = make_session(user=user, agent=agent)
    question = say(chat_session, "Hello", user=user)
    say(chat_session, "Imported", role="assistant")
    page.post(regenerate_url(question), {"agent": str(make_agent("poet").pk)})
    answer(active(), "Verse")
    shown = html(page.get(chat_url(chat_session)))
    assert "Version 2 of 2" in shown
    assert 'title="Previous version"' in shown, "nobody knows whose it was"


def test_the_streamed_turn_is_the_other_agents(user: User) -> None:
    first = answer(ask(user), "Prose")
    poet = make_agent("poet", display_name="The poet")
    form = {"agent": str(poet.pk)}
    _, events = read_events(user, "post", regenerate_url(first.message), form)
    assert events[0].startswith("event: turn\n")
    assert "The poet" in events[0]
    assert "Prose" not in events[0]
