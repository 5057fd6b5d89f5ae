"""Versions that are created and chosen at the same time, on separate connections."""

import threading
import uuid
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pydantic_ai.messages import ModelResponse, TextPart

from agents_app.chats.errors import AlreadyAnswering, ChatNotFound, NotRetryable
from agents_app.conversation import codec
from agents_app.models import AgentRun
from agents_app.runs import storage
from agents_app.services import (
    choose_version,
    edit_message,
    regenerate,
    send_message,
    stop_run,
)
from sessions_app.models import Message
from tests.agents_app.chats import ask, make_user
from tests.concurrency.helpers import Other, before_statement, elsewhere, held_transaction

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ana() -> User:
    return make_user()


def store_answer(run: AgentRun, text: str) -> bool:
    return storage.store_answer(
        run, run.attempt, codec.to_rows([ModelResponse(parts=[TextPart(text)])])
    )


@pytest.fixture
def answered(ana: User) -> AgentRun:
    run = ask(ana)
    store_answer(run, "First")
    return run


def line(run: AgentRun) -> list[str]:
    chosen = Message.objects.chosen().filter(session=run.session_id)
    return list(chosen.order_by("position").values_list("text_content", flat=True))


def regenerated(ana: User, run: AgentRun) -> AgentRun:
    return regenerate(user=ana, session_id=run.session_id, message_id=run.message_id)


def edited(ana: User, run: AgentRun, text: str) -> AgentRun:
    return edit_message(
        user=ana,
        session_id=run.session_id,
        message_id=run.message_id,
        text=text,
        new_message_id=uuid.uuid4(),
    )


def outcomes(*changes: Callable[[], AgentRun]) -> list[str]:
    """The outcomes of concurrent changes, in the order given."""
    start = threading.Barrier(len(changes))

    def attempt(change: Callable[[], AgentRun]) -> str:
        start.wait(timeout=60)
        try:
            change()
        except (AlreadyAnswering, ChatNotFound, NotRetryable):
            return "refused"
        return "done"

    others = [Other(partial(attempt, change)) for change in changes]
    return [other.result() for other in others]


def check_places(run: AgentRun) -> None:
    rows = Message.objects.filter(session=run.session_id)
    positions = list(rows.values_list("position", flat=True))
    assert len(positions) == len({*positions})
    assert AgentRun.objects.active().filter(session=run.session_id).count() <= 1


def test_of_two_edits_at_once_one_is_refused(ana: User, answered: AgentRun) -> None:
    results = outcomes(lambda: edited(ana, answered, "a"), lambda: edited(ana, answered, "b"))
    assert sorted(results) == ["done", "refused"]
    assert line(answered) == ["ab"[results.index("done")]]
    assert Message.objects.count() == 3
    check_places(answered)


def test_of_an_edit_and_a_regeneration_one_is_refused(ana: User, answered: AgentRun) -> None:
    results = outcomes(lambda: edited(ana, answered, "a"), lambda: regenerated(ana, answered))
    assert sorted(results) == ["done", "refused"]
    assert line(answered) == [["a"], ["Hello"]][results.index("done")]
    check_places(answered)


def test_of_two_regenerations_one_is_refused(ana: User, answered: AgentRun) -> None:
    results = outcomes(*[lambda: regenerated(ana, answered)] * 2)
    assert sorted(results) == ["done", "refused"]
    assert line(answered) == ["Hello"]
    check_places(answered)


def test_of_a_message_and_an_edit_one_is_refused(ana: User, answered: AgentRun) -> None:
    def send() -> AgentRun:
        return send_message(
            user=ana, session_id=answered.session_id, text="Next", message_id=uuid.uuid4()
        )

    results = outcomes(send, lambda: edited(ana, answered, "a"))
    assert sorted(results) == ["done", "refused"]
    assert line(answered) == [["Hello", "First", "Next"], ["a"]][results.index("done")]
    check_places(answered)


def test_a_version_is_chosen_while_an_answer_is_stored(ana: User, answered: AgentRun) -> None:
    """Choosing waits for the transaction that stores it, and comes after it."""
    run = regenerated(ana, answered)

    def choose() -> None:
        choose_version(user=ana, session_id=run.session_id, head=answered.pk)

    with held_transaction(lambda: store_answer(run, "Second")) as commit:
        choosing = Other(choose)
        commit()
        choosing.result()
    assert line(answered) == ["Hello", "First"]
    choose_version(user=ana, session_id=run.session_id, head=run.pk)
    assert line(answered) == ["Hello", "Second"]


def test_a_version_is_chosen_just_before_a_stopped_text_is_stored(
    ana: User, answered: AgentRun
) -> None:
    run = regenerated(ana, answered)
    stop_run(user=ana, session_id=run.session_id, run_id=run.pk)

    def choose() -> None:
        choose_version(user=ana, session_id=run.session_id, head=answered.pk)

    first = "BEGIN" if connection.vendor == "sqlite" else 'FROM "sessions"'
    with before_statement(first, lambda: elsewhere(choose)):
        storage.store_partial_answer(run.pk, run.attempt, "Half of it", uuid.uuid4())
    assert line(answered) == ["Hello", "First"]
    choose_version(user=ana, session_id=run.session_id, head=run.pk)
    assert line(answered) == ["Hello", "Half of it"]


def test_a_run_presumed_dead_does_not_go_on_in_another_line(ana: User, answered: AgentRun) -> None:
    run = regenerated(ana, answered)
    run.finish(AgentRun.Status.INTERRUPTED)
    choose_version(user=ana, session_id=run.session_id, head=answered.pk)
    assert not storage.resume(run.pk)
    assert not store_answer(run, "Second")
    assert line(answered) == ["Hello", "First"]
