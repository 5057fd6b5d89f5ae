"""Attempts at a run: who has claimed it, and that a process that has lost it changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents_app.models import AgentRun, RunStatus
from agents_app.querysets import Progress
from agents_app.runs import storage
from sessions_app.models import Message

pytestmark = pytest.mark.django_db


def answer() -> list[Message]:
    return [Message(role=Message.Role.ASSISTANT, text_content="Too late")]


def claim(run: AgentRun) -> int | None:
    """The attempt's number."""
    claimed = storage.claim(run.pk)
    return claimed.attempt if claimed else None


def claim_and_requeue(run: AgentRun) -> int:
    """As a process does that is about to exit; returns the attempt's number."""
    attempt = claim(run)
    assert attempt is not None
    assert storage.requeue(run.pk, attempt)
    return attempt


def test_a_claimed_run_has_what_its_answer_needs(
    run: AgentRun, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    claimed = storage.claim(run.pk)
    assert claimed is not None
    with django_assert_num_queries(0):
        run_input = storage.input_of(claimed)
    assert (run_input.prompt, run_input.agent) == ("Hello", run.agent)


def test_run_is_claimed_again_after_each_death_and_then_fails(run: AgentRun) -> None:
    attempts = [claim(run) for _ in range(storage.MAX_DEATHS + 1)]
    assert attempts == [1, 2, 3, None]
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", AgentRun.PRESUMED_DEAD_ERROR)
    assert run.has_failed


def test_requeueing_does_not_count_as_a_death(run: AgentRun) -> None:
    for _ in range(2 * storage.MAX_DEATHS):
        claim_and_requeue(run)
    run.refresh_from_db()
    assert (run.status, run.process_id, run.text, run.deaths) == ("pending", None, "", 0)
    claimed = [claim(run) for _ in range(storage.MAX_DEATHS + 1)]
    assert [attempt is not None for attempt in claimed] == [True] * storage.MAX_DEATHS + [False]


def test_text_that_is_saved_late_does_not_start_a_requeued_run(run: AgentRun) -> None:
    attempt = claim_and_requeue(run)
    assert AgentRun.objects.save_progress([Progress(run.pk, attempt, "Too late")]) == set()
    run.refresh_from_db()
    assert (run.status, run.text) == ("pending", "")


def test_claim_discards_the_text_so_far(run: AgentRun) -> None:
    storage.claim(run.pk)
    AgentRun.objects.save_progress([Progress(run.pk, 1, "As far as this")])
    storage.claim(run.pk)
    run.refresh_from_db()
    assert run.text == ""


def test_each_attempt_has_a_start_and_a_run_that_waits_has_none(run: AgentRun) -> None:
    starts = [run.started_at]
    for attempt in (1, 2):
        assert claim(run) == attempt
        run.refresh_from_db()
        starts.append(run.started_at)
    first, second, third = starts
    assert first is None
    assert second is not None
    assert third is not None
    assert second < third
    storage.requeue(run.pk, 2)
    run.refresh_from_db()
    assert run.started_at is None


def test_progress_records_a_start_once(run: AgentRun) -> None:
    first = timezone.now()
    for started_at in (None, first, first + timedelta(seconds=1)):
        AgentRun.objects.save_progress([Progress(run.pk, 0, "So", started_at)])
        run.refresh_from_db()
        assert (run.status, run.started_at) == ("running", started_at and first)


@pytest.mark.parametrize(
    "write",
    [
        lambda run: storage.store_answer(run, 1, answer()),
        lambda run: storage.store_partial_answer(run.pk, 1, "Too late", uuid4()),
        lambda run: run.finish(RunStatus.FAILED, text="Too late", error="broken", attempt=1),
        lambda run: storage.requeue(run.pk, 1),
        lambda run: AgentRun.objects.save_progress([Progress(run.pk, 1, "Too late")]),
    ],
    ids=["answer", "partial answer", "end", "requeue", "progress"],
)
def test_process_that_has_lost_a_run_changes_nothing(
    run: AgentRun, write: Callable[[AgentRun], object]
) -> None:
    storage.claim(run.pk)
    storage.claim(run.pk)
    assert not write(run)
    run.refresh_from_db()
    assert (run.status, run.attempt, run.text, run.error) == ("running", 2, "", "")
    assert Message.objects.count() == 1


def test_answer_of_an_attempt_that_was_lost_is_not_taken_for_the_stored_one(run: AgentRun) -> None:
    storage.claim(run.pk)
    storage.claim(run.pk)
    assert storage.store_answer(run, 2, answer())
    assert not storage.store_answer(run, 1, answer())
    assert Message.objects.count() == 2


@pytest.mark.parametrize("status", [RunStatus.DONE, RunStatus.STOPPED, RunStatus.FAILED])
def test_run_that_has_ended_is_not_claimed(run: AgentRun, status: RunStatus) -> None:
    run.finish(status)
    assert storage.claim(run.pk) is None
