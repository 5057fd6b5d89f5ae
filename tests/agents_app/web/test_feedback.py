"""Thumbs up and down for an answer: given, changed, withdrawn, by its chat's user only."""

from functools import partial

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents_app.chats import trash
from agents_app.chats.feedback import REASON_LENGTH
from agents_app.models import Feedback
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, queries
from tests.factories import say

pytestmark = pytest.mark.django_db(transaction=True)


def url_for(answer: Message) -> str:
    ids = {"session_id": answer.session_id, "message_id": answer.pk}
    return reverse("chat-feedback", kwargs=ids)


@pytest.fixture
def answer(user: User) -> Message:
    return answered(user).messages.get(role="assistant")


def given() -> list[tuple[bool, str]]:
    return list(Feedback.objects.values_list("is_good", "reason"))


def test_given_changed_and_withdrawn(page: Client, user: User, answer: Message) -> None:
    url = url_for(answer)
    response = page.post(url, {"rating": "bad"})
    assert (response.status_code, response["Location"]) == (
        303,
        f"{chat_url(answer.session)}#m{answer.position}",
    )
    page.post(url, {"rating": "bad", "reason": " Made up. \n"})
    page.post(url, {"rating": "bad"})
    assert given() == [(False, "Made up.")]
    assert Feedback.objects.get().user == user
    page.post(url, {"rating": "good"})
    assert given() == [(True, "")], "the reason was for the other opinion"
    page.post(url, {"rating": "none"})
    page.post(url, {"rating": "none"})
    assert given() == []


def test_the_page_shows_what_was_given(page: Client, answer: Message) -> None:
    before = html(page.get(chat_url(answer.session)))
    assert 'aria-pressed="true"' not in before
    assert "What was wrong with it?" not in before
    page.post(url_for(answer), {"rating": "bad", "reason": "<b>Made up</b>"})
    shown = html(page.get(chat_url(answer.session)))
    assert shown.count('aria-pressed="true"') == 1
    assert "&lt;b&gt;Made up&lt;/b&gt;</textarea>" in shown


def test_script_gets_the_new_buttons(page: Client, answer: Message) -> None:
    response = page.post(url_for(answer), {"rating": "good"}, headers=JSON)
    fragment = response.json()["html"]
    assert 'aria-pressed="true"' in fragment
    assert 'aria-label="Good answer 1"' in fragment, "as on the page: by the question"
    assert "What was good about it?" in fragment
    response = page.post(url_for(answer), {"rating": "none"}, headers=JSON)
    assert 'aria-pressed="true"' not in response.json()["html"]


@pytest.mark.parametrize("headers", [{}, JSON], ids=["browser", "script"])
def test_only_for_answers_in_own_chats(
    page: Client, user: User, answer: Message, headers: dict[str, str]
) -> None:
    question = answer.session.messages.get(role="user")
    foreign = answered(make_user("eve")).messages.get(role="assistant")
    elsewhere = Message(pk=answer.pk, session=answered(user))
    trashed = answered(user).messages.get(role="assistant")
    Session.objects.filter(pk=trashed.session_id).update(trashed_at=trashed.created_at)
    for message in (question, foreign, elsewhere, trashed):
        response = page.post(url_for(message), {"rating": "good"}, headers=headers)
        assert response.status_code == 404
    assert page.get(url_for(answer)).status_code == 405
    assert given() == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"rating": "great"},
        {"rating": "bad", "reason": "x" * (REASON_LENGTH + 1)},
        {"rating": "bad", "reason": "\0"},
    ],
)
def test_bad_input_is_refused(page: Client, answer: Message, data: dict[str, str]) -> None:
    assert page.post(url_for(answer), data, headers=JSON).status_code == 400
    shown = page.post(url_for(answer), data)
    assert shown.status_code == 400
    assert "Hi!" in html(shown)
    assert given() == []


def test_page_of_older_messages_is_returned_to(page: Client, user: User, answer: Message) -> None:
    for number in range(60):
        say(answer.session, f"Line {number}", role="assistant", agent=None, user=user)
    older = f"{chat_url(answer.session)}?before=12"
    assert 'name="before" value="12"' in html(page.get(older))
    response = page.post(url_for(answer), {"rating": "good", "before": "12"})
    assert response["Location"] == f"{older}#m{answer.position}"


def test_feedback_costs_no_further_query(page: Client, user: User, answer: Message) -> None:
    bare = answered(user)
    for number in range(10):
        say(answer.session, f"Q{number}", role="user", agent=None, user=user)
        said = say(answer.session, f"A{number}", role="assistant", agent=None, user=user)
        page.post(url_for(said), {"rating": "good"})
    assert Feedback.objects.count() == 10
    counts = []
    for chat_session in (bare, answer.session):
        url = chat_url(chat_session)
        counts.append(queries(partial(page.get, url)))
    assert counts[0] == counts[1]


def test_is_deleted_with_its_chat(page: Client, user: User, answer: Message) -> None:
    page.post(url_for(answer), {"rating": "good"})
    trash.trash_session(answer.session)
    assert page.post(url_for(answer), {"rating": "good"}).status_code == 404
    trash.delete_forever(answer.session)
    assert given() == []
