"""What a worker reads and writes of its run: one transaction each, synchronous.

Every write is conditional on the attempt: a process that has lost a run to another one changes
nothing.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from agents_app.models import Agent, AgentRun, RunFacts, RunStatus
from agents_app.querysets import AgentRunQuerySet
from agents_app.run_options import RunOptions
from agents_app.runs.listen import notify
from agents_app.runs.liveness import process_id
from sessions_app.models import Message, Session
from sessions_app.querysets import PAYLOAD_COLUMNS
from sessions_app.writing import SessionGone, append_messages

# The agent library takes a second to import, for which no request should wait.
if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

logger = logging.getLogger(__name__)

# A run whose processes have died so often is not taken over again.
MAX_DEATHS = 3

# What a model is asked when an answer has ended at the token limit.
CONTINUE_PROMPT = (
    "Your answer was cut off. Go on with it exactly where it ended, without repeating anything "
    "and without an introduction."
)


@dataclass(frozen=True)
class RunInput:
    """The run with its message and agent, what to ask the model, and the conversation before it."""

    run: AgentRun
    agent: Agent
    prompt: str
    history: "list[ModelMessage]"
    options: RunOptions


def claim(run_id: UUID) -> AgentRun | None:
    """Claim a run that is waiting, or whose process has died; returns it with message and agent.

    None if it has ended or was deleted, or if another process was quicker. A run whose processes
    have died too often fails.
    """
    with transaction.atomic():
        run = _with_input().filter(pk=run_id).first()
        if run is None or not run.is_active:
            return None
        own = AgentRun.objects.active().filter(pk=run_id, attempt=run.attempt)
        run.deaths += run.status == RunStatus.RUNNING
        if run.deaths >= MAX_DEATHS:
            error = AgentRun.PRESUMED_DEAD_ERROR
            run.finish(RunStatus.FAILED, error=error, attempt=run.attempt)
            return None
        run.status, run.attempt, run.process_id = RunStatus.RUNNING, run.attempt + 1, process_id()
        run.text, run.started_at = "", timezone.now()
        claimed = own.update(
            status=run.status,
            attempt=run.attempt,
            deaths=run.deaths,
            process_id=run.process_id,
            text=run.text,
            started_at=run.started_at,
            heartbeat_at=Now(),
        )
    return run if claimed else None


def _with_input() -> AgentRunQuerySet:
    return AgentRun.objects.select_related("agent", "message").defer(
        *(f"message__{column}" for column in PAYLOAD_COLUMNS)
    )


def requeue(run_id: UUID, attempt: int) -> bool:
    """Let another process answer a run from the start; False when it has ended, or was lost."""
    own = AgentRun.objects.active().filter(pk=run_id, attempt=attempt)
    requeued = own.update(
        status=RunStatus.PENDING,
        # The saver may be saving the text of this attempt right now, which would start the run.
        attempt=attempt + 1,
        process_id=None,
        text="",
        started_at=None,
        heartbeat_at=Now(),
    )
    return bool(requeued)


def may_start(run_id: UUID) -> bool:
    """Whether a waiting run may be worked on, given its user's others.

    True also for one that has ended: it need not wait.
    """
    run = AgentRun.objects.waiting().filter(pk=run_id).only("user_id", "created_at").first()
    if run is None:
        return True
    return AgentRun.objects.ahead_of(run).count() < settings.AGENT_RUNS_PER_USER


def start(run_id: UUID) -> RunInput | None:
    """Record that the run is worked on; returns its input, or None if it was stopped or deleted."""
    run = _with_input().filter(pk=run_id).first()
    if run is None or not (run.is_active or run.is_interrupted):
        return None
    if run.status == RunStatus.PENDING:
        run.started_at = timezone.now()
        waiting = AgentRun.objects.waiting().filter(pk=run_id)
        waiting.update(status=RunStatus.RUNNING, started_at=run.started_at)
    return input_of(run)


def input_of(run: AgentRun) -> RunInput:
    """The input of a run that has its message and agent; reads nothing for a first message."""
    assert run.agent is not None  # noqa: S101 - every run is created with an agent
    options = RunOptions.from_json(run.options)
    # The first message of a chat has nothing before it.
    history = _load_history(run, options) if run.message.position > 1 else []
    prompt = CONTINUE_PROMPT if run.is_continuation else run.message.text_content
    return RunInput(run, run.agent, prompt, history, options)


def _load_history(run: AgentRun, options: RunOptions) -> "list[ModelMessage]":
    from agents_app.conversation import codec, trimming
    from agents_app.history import MessageHistory

    history = MessageHistory(run.session_id, user_id=run.message.user_id, no_auto_create=True)
    # A run that continues an answer continues from the answer itself.
    messages = history.before(run.message, inclusive=run.is_continuation)
    if options.message_limit is not None:
        messages = trimming.trim_to_count(messages, options.message_limit)
    if options.system_prompt is not None:
        messages = [message for message in messages if not codec.is_system_prompt(message)]
    return messages


def store_answer(
    run: AgentRun, attempt: int, rows: list[Message], facts: RunFacts | None = None
) -> bool:
    """Store the answer's rows and the end of the run; False, storing neither, if it has ended."""
    try:
        with transaction.atomic():
            # An active run is its session's newest, so one statement writes and locks the
            # session's row, and none needs to read it.
            _append(run, rows, last_status=RunStatus.DONE.value)
            if run.record_end(RunStatus.DONE, text="", attempt=attempt, facts=facts):
                return True
            transaction.set_rollback(True)
    except SessionGone:
        logger.info("Run %s finished after its chat was deleted", run.pk)
        return False
    except IntegrityError:
        pass  # most likely its rows are stored already: see below
    return _store_late_answer(run.pk, attempt, rows, facts)


def _store_late_answer(
    run_id: UUID, attempt: int, rows: list[Message], facts: RunFacts | None
) -> bool:
    """As `store_answer`, for a run that has ended already."""
    with transaction.atomic():
        run = _lock_session_of(run_id)
        if run is None or run.attempt != attempt:
            return False
        if run.status == RunStatus.DONE:
            return True  # an earlier try was committed before its connection broke
        if run.is_interrupted and not run.resume():
            return False
        # False when another process has taken it over just now: nothing takes the lock for that.
        if not run.record_end(RunStatus.DONE, text="", attempt=attempt, facts=facts):
            return False
        # After the end, so that one statement writes all that changes in the session's row.
        _append(run, rows, last_status=AgentRun.objects.last_status())
    return True


def store_partial_answer(
    run_id: UUID, attempt: int, text: str, message_id: UUID, facts: RunFacts | None = None
) -> None:
    """Store the text of a run that was ended by another process or by its user.

    The text of a stopped run becomes a message with the given id, unless the chat has
    continued. A run that was presumed dead keeps it as its text.
    """
    with transaction.atomic():
        run = _lock_session_of(run_id)
        if run is None or run.attempt != attempt or run.is_active:
            return
        if Message.objects.filter(pk=message_id).exists():
            return
        is_stopped = run.status == RunStatus.STOPPED
        if is_stopped and text.strip() and run.can_still_answer():
            row = Message(id=message_id, role=Message.Role.ASSISTANT, text_content=text)
            _append(run, [row], last_status=AgentRun.objects.last_status())
            text = ""
        # Released, and watchers in other processes woken: they wait for this after a stop.
        ended = AgentRun.objects.filter(pk=run_id)
        ended.update(text=text, process_id=None, **(vars(facts) if facts else {}))
        notify()


def resume(run_id: UUID) -> bool:
    """Whether the run continues, now that its process is known to be alive."""
    with transaction.atomic():
        run = _lock_session_of(run_id)
        return run is not None and (run.is_active or run.resume())


def _lock_session_of(run_id: UUID) -> AgentRun | None:
    """Lock the run's session, and read the run; None when it was deleted."""
    session = Session.objects.select_for_update(of=("self",)).filter(runs=run_id)
    if not session.values_list("pk", flat=True):
        return None
    return AgentRun.objects.defer("text", "error").filter(pk=run_id).first()


def _append(run: AgentRun, rows: list[Message], *, last_status: Coalesce | str) -> None:
    for row in rows:
        row.session_id, row.user_id, row.agent_id = run.session_id, run.user_id, run.agent_id
        row.run_id = run.pk
    if not append_messages(rows, session_values={"last_run_status": last_status}):
        Session.objects.filter(pk=run.session_id).update(last_run_status=last_status)
