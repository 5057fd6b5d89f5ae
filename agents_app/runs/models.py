"""The models of runs: a run, and the processes that work on runs.

Imported from agents_app.models, where Django looks for models.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from agents_app.querysets import AgentRunQuerySet, WorkerProcessQuerySet
from sessions_app.models import Message, Session
from sessions_app.run_statuses import RunStatus

_ACTIVE = [RunStatus.PENDING, RunStatus.RUNNING]
_FAILED = [RunStatus.FAILED, RunStatus.INTERRUPTED]
_ANSWERED = [RunStatus.DONE, RunStatus.STOPPED]  # what a stopped run has written is an answer


class WorkerProcess(models.Model):
    """A process that works on runs, and its heartbeat; it deletes its row when it exits."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField()
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    # Seconds: the age of the oldest text at its last save.
    save_lag = models.FloatField(default=0, db_default=0)

    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        db_table = "worker_processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass
class RunFacts:
    """Facts about a run, filled in as they become known. The fields are columns of AgentRun."""

    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    truncated: bool = False
    context_from: int | None = None
    started_at: datetime | None = None
    first_token_at: datetime | None = None


class AgentRun(models.Model):
    """One run of an agent: it answers one message of a user.

    The row is the only shared state, whichever process works on the run and whichever
    watches it. It changes by conditional updates only.
    """

    Status = RunStatus
    ACTIVE = _ACTIVE
    FAILED_STATUSES = _FAILED
    ANSWERED_STATUSES = _ANSWERED
    process_model = WorkerProcess
    # The error of a run whose process is presumed dead.
    PRESUMED_DEAD_ERROR = "The server stopped while it was answering."
    # One that no process has started after so many seconds counts as waiting.
    STARTED_WITHIN = 1.0

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="runs")
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="runs", help_text="What it answers."
    )
    agent = models.ForeignKey(
        "agents_app.Agent", on_delete=models.SET_NULL, null=True, related_name="runs"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="agent_runs"
    )
    status = models.CharField(choices=RunStatus, default=RunStatus.PENDING)
    # What the client has set for this run only: agents_app.run_options.
    options = models.JSONField(null=True, editable=False)
    # Of the request, if it came with an Idempotency-Key: the same key must mean the same request.
    request_digest = models.CharField(blank=True, default="", db_default="", editable=False)
    # The WorkerProcess that has claimed it. No foreign key: processes come and go.
    process_id = models.UUIDField(null=True, editable=False)
    # Grows whenever a process claims or requeues it. A process that finds a higher number than its
    # own has lost the run.
    attempt = models.PositiveSmallIntegerField(default=0, editable=False)
    # How often the process that worked on it was presumed dead.
    deaths = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    # The text generated so far; the finished answer is a message.
    text = models.TextField(blank=True, default="")
    # The first line is for the user, the rest for staff.
    error = models.TextField(blank=True, default="")
    # RunFacts.
    model = models.CharField(blank=True, default="")
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cost = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, help_text="In US dollars, if it is known."
    )
    truncated = models.BooleanField(default=False, help_text="The answer ended at the token limit.")
    # The position where the model's context began, if it was not the whole chat.
    context_from = models.PositiveIntegerField(null=True, editable=False)
    # When the latest attempt was started; none while the run waits.
    started_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    current_status: str  # annotated by with_current_status()

    objects = AgentRunQuerySet.as_manager()

    class Meta:
        db_table = "agent_runs"
        indexes = [
            # The admin's list of runs, newest first.
            models.Index(fields=["-created_at", "-id"], name="agent_runs_newest"),
            # The same for one status, and on the dashboard: runs per day by status,
            # the newest failures, the times of the newest answers.
            models.Index(fields=["status", "-created_at", "-id"], name="agent_runs_by_status"),
            # The same by model, and which models the newest runs have used.
            models.Index(
                fields=["model", "-created_at", "-id"],
                name="agent_runs_by_model",
                condition=~Q(model=""),
            ),
            # The admin's search in errors, from the newest on.
            models.Index(
                fields=["-created_at", "-id"],
                name="agent_runs_with_error",
                condition=~Q(error=""),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["session"],
                condition=Q(status__in=_ACTIVE),
                name="agent_runs_one_active",
            ),
            models.CheckConstraint(
                condition=Q(status__in=_ACTIVE, finished_at=None)
                | (~Q(status__in=_ACTIVE) & Q(finished_at__isnull=False)),
                name="agent_runs_finished_or_active",
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for its turn, rather than being about to start."""
        age = timezone.now() - self.created_at
        return self.status == RunStatus.PENDING and age.total_seconds() >= self.STARTED_WITHIN

    @property
    def is_interrupted(self) -> bool:
        return self.status == RunStatus.INTERRUPTED

    @property
    def is_continuation(self) -> bool:
        """Whether it continues an answer: `message` is then the last one of that answer."""
        return self.message.role == Message.Role.ASSISTANT

    @property
    def has_failed(self) -> bool:
        return self.status in self.FAILED_STATUSES

    @property
    def has_answered(self) -> bool:
        return self.status in self.ANSWERED_STATUSES

    @property
    def is_truncated(self) -> bool:
        """Whether its answer ended at the token limit."""
        return self.truncated and not self.is_active

    @property
    def public_error(self) -> str:
        """The error without the part for staff."""
        return self.error.partition("\n")[0]

    def finish(
        self,
        status: RunStatus,
        *,
        text: str | None = None,
        error: str = "",
        attempt: int | None = None,
        facts: RunFacts | None = None,
    ) -> bool:
        """Record how it ended. False, with nothing changed, if it had already ended.

        A worker passes its attempt: another process may have taken the run over.
        """
        with transaction.atomic():
            # Not by `session_id`: a worker knows only the run's id.
            session = Session.objects.filter(runs=self.pk).select_for_update(of=("self",))
            session_ids = list(session.values_list("pk", flat=True))
            ended = self.record_end(status, text=text, error=error, attempt=attempt, facts=facts)
            if ended:
                AgentRun.objects.record_last_status(session_ids)
        return ended

    def record_end(
        self,
        status: RunStatus,
        *,
        text: str | None = None,
        error: str = "",
        attempt: int | None = None,
        facts: RunFacts | None = None,
    ) -> bool:
        """Like finish(), for a caller that has locked the session and updates its row itself."""
        changes = {} if facts is None else dict(vars(facts))
        if text is not None:
            changes["text"] = text
        active = AgentRun.objects.active().filter(pk=self.pk)
        if attempt is not None:
            active = active.filter(attempt=attempt)
        ended = active.update(
            status=status,
            error=error,
            finished_at=timezone.now(),
            heartbeat_at=Now(),
            **changes,
        )
        return bool(ended)

    def resume(self) -> bool:
        """Continue after its process was wrongly presumed dead; False if the chat has continued.

        Called by that process, in a transaction that has locked the session.
        """
        if not self.can_still_answer():
            return False
        interrupted = AgentRun.objects.filter(pk=self.pk, status=RunStatus.INTERRUPTED)
        values = {"status": RunStatus.RUNNING, "finished_at": None, "error": ""}
        resumed = bool(interrupted.update(heartbeat_at=Now(), **values))
        AgentRun.objects.record_last_status([self.session_id])
        return resumed

    def can_still_answer(self) -> bool:
        """Whether its answer still belongs at the chat's end: no later run answers instead."""
        later = AgentRun.objects.filter(message=self.message_id, created_at__gt=self.created_at)
        return not later.exists() and self._is_before_answer(self.last_message())

    def last_message(self) -> Message | None:
        """The last message of its chat."""
        chosen = Message.objects.chosen().filter(session=self.session_id)
        return chosen.order_by("-position").first()

    def can_be_retried(self, last: Message | None) -> bool:
        """Whether it failed, and its chat, which ends with `last`, has not continued since."""
        return self.has_failed and self._is_before_answer(last)

    def can_be_continued(self, last: Message | None) -> bool:
        """Whether its chat ends with its answer, and that ended at the token limit."""
        if last is None or last.run_id != self.pk or last.role != Message.Role.ASSISTANT:
            return False
        return self.is_truncated

    def _is_before_answer(self, last: Message | None) -> bool:
        """Whether the chat ends with the message that it answers."""
        return last is not None and last.pk == self.message_id
