"""An existing chat: messages, stop, retry, rename, delete, and the stream."""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents_app.models import Agent, AgentRun, RunFacts
from agents_app.querysets import Progress
from sessions_app.models import Session
from tests.agents_app.chats import answered, ask, failed
from tests.agents_app.web.helpers import (
    JSON,
    chat_url,
    html,
    message,
    read_events,
    rows,
    run_url,
)
from tests.factories import say

pytestmark = pytest.mark.django_db(transaction=True)


def test_further_message(page: Client, user: User, submitted: list[UUID]) -> None:
    chat_session = answered(user)
    response = page.post(chat_url(chat_session, "chat-send"), message())
    run = AgentRun.objects.active().get()
    assert response["Location"] == f"{chat_url(chat_session)}#run-{run.pk}"
    assert run.message.text_content == "And then?"
    assert submitted[1:] == [run.pk]


def test_script_gets_the_turn_and_then_the_answer(user: User, submitted: list[UUID]) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session, "chat-send")
    response, events = read_events(user, "post", url, message("<b>bold</b>"))
    run = AgentRun.objects.active().get()
    assert submitted[1:] == [run.pk]
    assert response["Content-Type"] == "text/event-stream"
    assert "no-store" in response["Cache-Control"]
    assert response["X-Accel-Buffering"] == "no"
    name, _, data = events[0].partition("\ndata: ")
    shown = json.loads(data)["html"]
    assert name == "event: turn"
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown
    assert f'data-events="{run_url(run, "chat-events")}"' in shown
    refused, _ = read_events(user, "post", url, message("Too soon"))
    assert (refused.status_code, refused["Content-Type"]) == (409, "application/json")


def test_second_submit_is_not_worked_on_again(
    page: Client, user: User, submitted: list[UUID]
) -> None:
    url = chat_url(answered(user), "chat-send")
    form = message()
    first, second = page.post(url, form), page.post(url, form)
    assert first["Location"] == second["Location"]
    assert len(submitted[1:]) == 1


def test_second_message_while_an_answer_is_written(page: Client, user: User) -> None:
    run = ask(user)
    url = chat_url(run.session, "chat-send")
    before = rows()
    assert "data-send hidden>" in html(page.get(chat_url(run.session)))
    shown = page.post(url, message("Too soon"))
    assert shown.status_code == 409
    assert "An answer is still being written" in html(shown)
    assert "Too soon</textarea>" in html(shown)
    assert "data-send>" in html(shown), "it can be sent again"
    refused = page.post(url, message(), headers=JSON)
    assert refused.status_code == 409
    assert refused.json()["is_answering"], "a script lets it wait"
    assert not page.post(url, message(" "), headers=JSON).json()["is_answering"]
    assert rows() == before


def test_message_that_was_too_early_stays_until_it_is_sent(page: Client, user: User) -> None:
    run = ask(user)
    chat, url = chat_url(run.session), chat_url(run.session, "chat-send")
    page.post(url, message("Too soon"))
    for _ in range(2):
        shown = html(page.get(chat))
        assert "Too soon</textarea>" in shown, "the page is loaded again until the answer is there"
        assert "data-send>" in shown
    assert "Too soon" not in html(page.get(chat_url(answered(user)))), "it is this chat's"
    run.finish(AgentRun.Status.STOPPED)
    assert "Too soon</textarea>" in html(page.get(chat)), "also once it was stopped"

    ask_again = page.post(url, message("Once more"))
    assert ask_again.status_code == 303
    page.post(url, message("Too soon"))
    AgentRun.objects.active().get().finish(AgentRun.Status.DONE)
    assert page.post(url, message("Too soon")).status_code == 303
    assert "Too soon</textarea>" not in html(page.get(chat)), "it was sent"


def test_message_to_an_agent_that_was_switched_off(page: Client, user: User) -> None:
    chat_session = answered(user)
    Agent.objects.update(active=False)
    before = rows()
    response = page.post(chat_url(chat_session, "chat-send"), message())
    assert response.status_code == 400
    assert "is not available" in html(response)
    assert "And then?</textarea>" in html(response), "what was written can be copied"
    assert "switched off, so this chat is read-only" in html(response)
    assert rows() == before


def test_stop(page: Client, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled: list[UUID] = []
    monkeypatch.setattr("agents_app.services.dispatch.cancel", cancelled.append)
    run = ask(user)
    AgentRun.objects.save_progress([Progress(run.pk, 0, "As far as **this**")])
    url = run_url(run, "chat-stop")
    assert page.post(url).status_code == 303
    assert page.post(url, headers=JSON).json() == {"stopped": False}
    assert cancelled == [run.pk], "the second time there is nothing to stop"
    shown = html(page.get(chat_url(run.session)))
    assert "As far as <strong>this</strong>" in shown
    assert '<p class="stopped">' in shown


def test_retry_creates_a_run_and_nothing_else(
    page: Client, user: User, submitted: list[UUID]
) -> None:
    run = failed(user)
    shown = html(page.get(chat_url(run.session)))
    assert "As far as it" in shown
    assert "The model did not answer." in shown
    assert run_url(run, "chat-retry") in shown

    result = page.post(run_url(run, "chat-retry"), headers=JSON).json()
    assert rows() == (1, 1, 2)
    assert submitted[1:] == [UUID(result["run"])]
    assert "The model did not answer." not in html(page.get(chat_url(run.session)))
    assert page.post(run_url(run, "chat-retry")).status_code == 409


def test_failure_in_a_chat_that_has_continued_cannot_be_retried(page: Client, user: User) -> None:
    run = failed(user)
    page.post(chat_url(run.session, "chat-send"), message())
    AgentRun.objects.active().get().finish(AgentRun.Status.DONE)
    shown = html(page.get(chat_url(run.session)))
    assert "The model did not answer." in shown
    assert "data-retry" not in shown
    refused = page.post(run_url(run, "chat-retry"))
    assert refused.status_code == 409
    assert "The chat has continued since" in html(refused)


def test_only_what_failed_can_be_retried(page: Client, user: User) -> None:
    run = ask(user)
    run.finish(AgentRun.Status.STOPPED)
    assert page.post(run_url(run, "chat-retry")).status_code == 409
    assert rows() == (1, 1, 1)


def truncated(user: User, *, names_run: bool = True) -> AgentRun:
    """A run whose answer has ended at the token limit; old answers name no run."""
    run = ask(user)
    values = {"role": "assistant", "agent": run.agent, "run": run if names_run else None}
    say(run.session, "As far as the limit", **values)
    run.finish(AgentRun.Status.DONE, facts=RunFacts(truncated=True))
    return run


def stopped(user: User) -> AgentRun:
    run = ask(user)
    run.finish(AgentRun.Status.STOPPED, text="As far as it")
    return run


def followed(run: AgentRun) -> AgentRun:
    say(run.session, "And then?", user=run.user)
    return run


@pytest.mark.parametrize(
    ("make_run", "possible"),
    [
        (failed, "chat-retry"),
        (lambda user: followed(failed(user)), None),
        (stopped, None),
        (truncated, "chat-continue"),
        (lambda user: followed(truncated(user)), None),
        (lambda user: truncated(user, names_run=False), None),
    ],
    ids=["failed", "failed-followed", "stopped", "truncated", "truncated-followed", "no-run"],
)
def test_what_is_offered_is_what_is_possible(
    page: Client, user: User, make_run: Callable[[User], AgentRun], possible: str | None
) -> None:
    run = make_run(user)
    shown = html(page.get(chat_url(run.session)))
    for action in ("chat-retry", "chat-continue"):
        assert (run_url(run, action) in shown) == (action == possible)
        status = page.post(run_url(run, action), headers=JSON).status_code
        assert status == (200 if action == possible else 409)


def test_run_whose_process_died_is_shown_as_interrupted(page: Client, user: User) -> None:
    run = ask(user)
    long_ago = timezone.now() - timedelta(minutes=5)
    AgentRun.objects.update(heartbeat_at=long_ago, text="Half an", process_id=None)
    assert "The server stopped" not in html(page.get(chat_url(run.session))), "not noticed yet"
    assert AgentRun.objects.interrupt_presumed_dead() == 1
    shown = html(page.get(chat_url(run.session)))
    assert "The server stopped while it was answering." in shown
    assert "Half an" in shown
    assert run_url(run, "chat-retry") in shown
    assert page.post(run_url(run, "chat-retry")).status_code == 303


def test_unfinished_answer_can_be_reloaded_and_stopped(page: Client, user: User) -> None:
    run = ask(user)
    AgentRun.objects.save_progress([Progress(run.pk, 0, "It <b>begins")])
    shown = html(page.get(chat_url(run.session)))
    assert "It &lt;b&gt;begins" in shown
    assert ">Reload</a>" in shown
    assert f'action="{run_url(run, "chat-stop")}"' in shown


def test_rename(page: Client, user: User) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session, "chat-rename")
    assert page.post(url, {"name": " Über <b>uns</b> "}).status_code == 303
    assert Session.objects.get().name == "Über <b>uns</b>"
    for name, complaint in [("  ", "needs a name"), ("x" * 201, "at most"), ("a\0", "NUL")]:
        refused = page.post(url, {"name": name})
        assert refused.status_code == 400
        assert complaint in html(refused)
        assert "<h1>Rename this chat</h1>" in html(refused), "the page of this URL"
    assert Session.objects.get().name == "Über <b>uns</b>"


def test_delete_asks_first_and_says_where_it_goes(page: Client, user: User) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session, "chat-delete")
    assert "with its 2 messages will be moved to the trash" in html(page.get(url))
    response = page.post(url)
    assert (response.status_code, response["Location"]) == (303, "/chats/")
    assert rows() == (1, 2, 1), "it can be restored"
    assert "Deleted “Hello”." in html(page.get("/chats/"))
    assert page.get(chat_url(chat_session)).status_code == 404


def test_events_of_a_finished_run(user: User) -> None:
    run = failed(user)
    response, events = read_events(user, "get", run_url(run, "chat-events"))
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-cache"
    assert response["X-Accel-Buffering"] == "no"
    assert response["Content-Encoding"] == "identity"
    assert events[-1].startswith('event: end\ndata: {"status":"failed"')
    assert "data-retry" in events[-1]
