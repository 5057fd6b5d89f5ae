"""Editing, regenerating and continuing answers over HTTP, and the versions that they leave."""

import json
import re
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic_ai.messages import ModelResponse, TextPart

from agents_app import services
from agents_app.conversation import codec
from agents_app.models import Agent, AgentRun
from agents_app.runs import storage
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, ask, failed, make_user
from tests.agents_app.web.helpers import (
    JSON,
    chat_url,
    html,
    message,
    queries,
    read_events,
    rows,
    run_url,
)
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db(transaction=True)


def answer(run: AgentRun, text: str = "Hi!") -> AgentRun:
    """End the run with an answer, as a worker does."""
    response = ModelResponse(parts=[TextPart(text)])
    assert storage.store_answer(run, run.attempt, codec.to_rows([response]))
    run.refresh_from_db()
    return run


def active() -> AgentRun:
    return AgentRun.objects.active().select_related("session", "message").get()


def regenerate_url(question: Message) -> str:
    return chat_url(question.session, "chat-regenerate", message_id=question.pk)


def edit_url(question: Message) -> str:
    return chat_url(question.session, "chat-edit", message_id=question.pk)


def choose(page: Client, chat_session: Session, head: object, **headers: Any) -> Any:
    return page.post(chat_url(chat_session, "chat-version"), {"head": str(head)}, **headers)


def shown_texts(page: Client, chat_session: Session) -> list[str]:
    shown = html(page.get(chat_url(chat_session)))
    return re.findall(r'<div class="text[^>]*>(?:<p[^>]*>)?([^<]+)', shown)


def places(page: Client, chat_session: Session) -> list[str]:
    return re.findall(r"Version (\d of \d)", html(page.get(chat_url(chat_session))))


def test_an_answer_that_is_regenerated_stays_as_a_version(
    page: Client, user: User, submitted: list[uuid.UUID]
) -> None:
    first = answer(ask(user), "One way")
    url = regenerate_url(first.message)
    assert url in html(page.get(chat_url(first.session)))
    assert places(page, first.session) == []
    response = page.post(url)
    second = active()
    assert response["Location"] == f"{chat_url(first.session)}#run-{second.pk}"
    assert submitted[1:] == [second.pk]
    answer(second, "Another way")
    assert shown_texts(page, first.session) == ["Hello", "Another way"]
    assert places(page, first.session) == ["2 of 2"]

    response = choose(page, first.session, first.pk)
    assert response["Location"] == f"{chat_url(first.session)}#version-{first.pk}"
    assert f'id="version-{first.pk}"' in html(page.get(chat_url(first.session)))
    assert shown_texts(page, first.session) == ["Hello", "One way"]
    assert places(page, first.session) == ["1 of 2"]
    assert choose(page, first.session, second.pk, headers=JSON).status_code == 200
    assert places(page, first.session) == ["2 of 2"]


@pytest.mark.parametrize("text", ["", "As far as it"])
def test_an_answer_that_was_stopped_can_be_regenerated(page: Client, user: User, text: str) -> None:
    first = ask(user)
    page.post(run_url(first, "chat-stop"))
    storage.store_partial_answer(first.pk, 0, text, uuid.uuid4())
    page.post(regenerate_url(first.message))
    answer(active(), "All of it")
    assert shown_texts(page, first.session) == ["Hello", "All of it"]
    assert places(page, first.session) == (["2 of 2"] if text else [])


def test_the_text_of_a_stopped_run_comes_too_late(page: Client, user: User) -> None:
    """Its worker stores it while the question is being answered again."""
    first = ask(user)
    page.post(run_url(first, "chat-stop"))
    page.post(regenerate_url(first.message))
    storage.store_partial_answer(first.pk, 0, "As far as it", uuid.uuid4())
    answer(active(), "All of it")
    assert shown_texts(page, first.session) == ["Hello", "All of it"]
    choose(page, first.session, first.pk)
    assert shown_texts(page, first.session) == ["Hello", "As far as it"]


def test_an_answer_stays_when_the_next_one_fails(page: Client, user: User) -> None:
    first = answer(ask(user), "One way")
    page.post(regenerate_url(first.message))
    active().finish(AgentRun.Status.FAILED, error="The model did not answer.")
    shown = html(page.get(chat_url(first.session)))
    assert "The model did not answer." in shown
    assert places(page, first.session) == ["2 of 2"]
    choose(page, first.session, first.pk)
    assert shown_texts(page, first.session) == ["Hello", "One way"]
    assert places(page, first.session) == []
    assert "The model did not answer." not in html(page.get(chat_url(first.session)))


def test_a_chat_can_continue_from_a_failed_answer(page: Client, user: User) -> None:
    first = failed(user)
    page.post(run_url(first, "chat-retry"))
    answer(active(), "All of it")
    choose(page, first.session, first.pk)
    assert shown_texts(page, first.session) == ["Hello", "As far as it"]
    page.post(chat_url(first.session, "chat-send"), message())
    run_input = storage.start(active().pk)
    assert run_input is not None
    assert len(run_input.history) == 2


def test_an_imported_answer_can_be_regenerated(page: Client, user: User, agent: Agent) -> None:
    chat_session = make_session(user=user, agent=agent)
    question = say(chat_session, "Hello", user=user)
    imported = say(chat_session, "Imported", role="assistant")
    page.post(regenerate_url(question))
    answer(active(), "New")
    assert shown_texts(page, chat_session) == ["Hello", "New"]
    choose(page, chat_session, imported.pk)
    assert shown_texts(page, chat_session) == ["Hello", "Imported"]
    assert places(page, chat_session) == ["1 of 2"]


def test_only_the_last_answer_is_regenerated(page: Client, user: User) -> None:
    first = answer(ask(user))
    page.post(chat_url(first.session, "chat-send"), message())
    assert page.post(regenerate_url(first.message)).status_code == 409, "one is being written"
    answer(active())
    before = rows()
    refused = page.post(regenerate_url(first.message))
    assert refused.status_code == 409
    assert "edit your message instead" in html(refused)
    assert regenerate_url(first.message) not in html(page.get(chat_url(first.session)))
    assert rows() == before


def test_regenerate_streams_the_turn(user: User) -> None:
    first = answer(ask(user))
    _, events = read_events(user, "post", regenerate_url(first.message), {})
    shown = json.loads(events[0].partition("\ndata: ")[2])["html"]
    assert events[0].startswith("event: turn\n")
    assert f'data-turn="{first.message_id}"' in shown
    assert "Version 2 of 2" in shown
    assert "Hi!" not in shown


def test_a_message_is_edited(page: Client, user: User, submitted: list[uuid.UUID]) -> None:
    first = answer(ask(user), "One")
    page.post(chat_url(first.session, "chat-send"), message("Second"))
    second = answer(active(), "Two")
    form = html(page.get(edit_url(first.message)))
    assert ">\nHello</textarea>" in form

    posted = message("Hello again")
    response = page.post(edit_url(first.message), posted)
    edited = active()
    assert response["Location"] == f"{chat_url(first.session)}#run-{edited.pk}"
    assert submitted[2:] == [edited.pk]
    assert page.post(edit_url(first.message), posted)["Location"] == response["Location"]
    assert submitted[2:] == [edited.pk], "a second submit is the same"
    run_input = storage.start(edited.pk)
    assert run_input is not None
    assert (run_input.prompt, run_input.history) == ("Hello again", [])
    answer(edited, "Three")
    assert shown_texts(page, first.session) == ["Hello again", "Three"]
    assert places(page, first.session) == ["2 of 2"]

    choose(page, first.session, first.message_id)
    assert shown_texts(page, first.session) == ["Hello", "One", "Second", "Two"]
    assert places(page, first.session) == ["1 of 2"]
    page.post(edit_url(second.message), message("Third"))
    answer(active(), "Four")
    assert shown_texts(page, first.session) == ["Hello", "One", "Third", "Four"]
    assert places(page, first.session) == ["1 of 2", "2 of 2"]


@pytest.mark.parametrize(("text", "complaint"), [(" ", "Write a message first."), ("a\0", "NUL")])
def test_an_edit_that_is_refused_keeps_the_form(
    page: Client, user: User, text: str, complaint: str
) -> None:
    first = answer(ask(user))
    before = rows()
    refused = page.post(edit_url(first.message), message(text))
    assert refused.status_code == 400
    assert complaint in html(refused)
    assert "data-edit-form" in html(refused)
    assert rows() == before


def test_nothing_is_edited_or_chosen_while_an_answer_is_written(page: Client, user: User) -> None:
    first = answer(ask(user))
    page.post(regenerate_url(first.message))
    before = rows()
    refused = page.post(edit_url(first.message), message("Other words"))
    assert refused.status_code == 409
    assert "Other words</textarea>" in html(refused)
    assert choose(page, first.session, first.pk).status_code == 409
    assert rows() == before


def test_versions_that_do_not_exist(page: Client, user: User) -> None:
    chat_session = answered(user)
    other = answer(ask(make_user("bo")))
    for head in (uuid.uuid4(), other.pk, other.message_id):
        assert choose(page, chat_session, head).status_code == 409
        assert choose(page, chat_session, head, headers=JSON).status_code == 409
    assert choose(page, chat_session, "nonsense").status_code == 400
    assert page.post(regenerate_url(other.message)).status_code == 404
    assert page.post(edit_url(other.message), message()).status_code == 404
    assert choose(page, other.session, other.pk).status_code == 404
    assert (
        page.get(chat_url(chat_session, "chat-source", message_id=uuid.uuid4())).status_code == 404
    )


def test_choosing_a_version_does_not_count_as_activity(page: Client, user: User) -> None:
    first = answer(ask(user))
    page.post(regenerate_url(first.message))
    answer(active())
    used_at = Session.objects.get().updated_at
    choose(page, first.session, first.pk)
    assert Session.objects.get().updated_at == used_at


def test_the_source_of_an_answer(page: Client, user: User) -> None:
    first = answer(ask(user), "Some **words**")
    response = page.get(chat_url(first.session, "chat-source", message_id=first.message_id))
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert html(response) == "Some **words**"
    broken = failed(user)
    response = page.get(chat_url(broken.session, "chat-source", message_id=broken.message_id))
    assert html(response) == "As far as it"


def cut_off(user: User) -> AgentRun:
    run = answer(ask(user), "As far as the limit")
    AgentRun.objects.filter(pk=run.pk).update(truncated=True)
    return run


def test_an_answer_that_was_cut_off_is_continued(page: Client, user: User) -> None:
    first = cut_off(user)
    assert run_url(first, "chat-continue") in html(page.get(chat_url(first.session)))
    page.post(run_url(first, "chat-continue"))
    run_input = storage.start(active().pk)
    assert run_input is not None
    assert run_input.prompt == storage.CONTINUE_PROMPT
    assert len(run_input.history) == 2
    shown = html(page.get(chat_url(first.session)))
    assert "As far as the limit" in shown
    assert "data-stop" in shown
    second = answer(active(), "and beyond")
    assert shown_texts(page, first.session) == ["Hello", "As far as the limit", "and beyond"]
    assert run_url(first, "chat-continue") not in html(page.get(chat_url(first.session)))
    source = page.get(chat_url(first.session, "chat-source", message_id=first.message_id))
    assert html(source) == "As far as the limit\n\nand beyond"
    _, events = read_events(user, "get", run_url(second, "chat-events"))
    assert "As far as the limit" in events[-1]
    assert "and beyond" in events[-1]

    page.post(regenerate_url(first.message))
    answer(active(), "Short")
    assert places(page, first.session) == ["2 of 2"]
    choose(page, first.session, first.pk)
    assert shown_texts(page, first.session) == ["Hello", "As far as the limit", "and beyond"]


def test_continuing_fails(page: Client, user: User) -> None:
    first = cut_off(user)
    page.post(run_url(first, "chat-continue"))
    second = active()
    second.finish(AgentRun.Status.FAILED, text="and", error="The model did not answer.")
    shown = html(page.get(chat_url(first.session)))
    assert "The model did not answer." in shown
    assert shown_texts(page, first.session) == ["Hello", "As far as the limit", "and"]
    assert places(page, first.session) == []
    page.post(run_url(second, "chat-retry"))
    answer(active(), "and beyond")
    assert shown_texts(page, first.session) == ["Hello", "As far as the limit", "and beyond"]


def test_an_answer_that_was_not_cut_off_is_complete(page: Client, user: User) -> None:
    first = answer(ask(user))
    before = rows()
    assert page.post(run_url(first, "chat-continue")).status_code == 409
    assert rows() == before


def test_versions_take_as_few_queries_as_none(page: Client, user: User) -> None:
    run = answer(ask(user))
    without = queries(lambda: page.get(chat_url(run.session)))
    for number in range(20):
        page.post(regenerate_url(run.message))
        answer(active())
        page.post(edit_url(run.message), message(f"Edit {number}"))
        run = answer(active())
        page.post(chat_url(run.session, "chat-send"), message())
        run = answer(active())
    assert queries(lambda: page.get(chat_url(run.session))) == without


def test_staff_see_all_versions(admin_client: Client, page: Client, user: User) -> None:
    first = answer(ask(user), "One way")
    services.regenerate(user=user, session_id=first.session_id, message_id=first.message_id)
    answer(active(), "Another way")
    url = f"/admin/sessions_app/session/{first.session_id}/change/"
    shown = html(admin_client.get(url))
    assert "One way" in shown
    assert "Another way" in shown
    assert shown.count("Another version: ") == 1
