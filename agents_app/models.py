"""Agents, their runs, and what users think of the answers.

The models of users and of API keys are in user_models and api_key_models, and importable from here.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zlib import crc32

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from agents_app.api_key_models import ApiKey, ApiKeyRequests, Scope
from agents_app.querysets import (
    AgentQuerySet,
    AgentRunQuerySet,
    WorkerProcessQuerySet,
)
from agents_app.user_models import (
    CacheEntry,
    ExternalUser,
    ImportedUser,
    Preferences,
    Theme,
    Ticket,
)
from sessions_app.models import Message, Session

__all__ = [
    "Agent",
    "AgentPicture",
    "AgentRun",
    "ApiKey",
    "ApiKeyRequests",
    "CacheEntry",
    "ExternalUser",
    "Feedback",
    "ImportedUser",
    "Preferences",
    "RunFacts",
    "RunStatus",
    "Scope",
    "Theme",
    "Ticket",
    "WorkerProcess",
]


class Agent(models.Model):
    """A model with a system prompt that people can chat with."""

    name = models.CharField(unique=True)
    display_name = models.CharField(
        blank=True, default="", help_text="What people are shown; the name if empty."
    )
    type = models.CharField(default="simple")
    model = models.CharField(
        blank=True,
        default="",
        help_text="A pydantic-ai model string such as openai:gpt-4.1-mini, "
        "or empty for the default (AGENT_MODEL).",
    )
    description = models.TextField(blank=True, default="")
    starter_prompts = models.TextField(
        blank=True, default="", help_text="Prompts to begin a chat with, one per line."
    )
    # Of its AgentPicture's content, or empty: part of the picture's address.
    picture_digest = models.CharField(blank=True, default="", editable=False)
    system_prompt = models.TextField(blank=True, default="")
    config = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        db_table = "agents"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def shown_name(self) -> str:
        """The name that people are shown."""
        return self.display_name or self.name

    @property
    def starters(self) -> list[str]:
        """The prompts to begin a chat with."""
        return [line.strip() for line in self.starter_prompts.splitlines() if line.strip()]

    @property
    def initial(self) -> str:
        """What stands for the agent when it has no picture."""
        name = self.shown_name.strip()
        return next(filter(str.isalnum, name), name[:1]).upper()[:1]

    @property
    def hue(self) -> int:
        """One of eight colours, always the same for a name."""
        return crc32(self.name.encode(errors="replace")) % 8


class AgentPicture(models.Model):
    """An agent's picture. A table of its own, so that reading agents does not load pictures."""

    agent = models.OneToOneField(
        Agent, on_delete=models.CASCADE, primary_key=True, related_name="picture"
    )
    media_type = models.CharField()
    content = models.BinaryField()

    class Meta:
        db_table = "agent_pictures"

    def __str__(self) -> str:
        return f"Picture of agent {self.pk}"


class RunStatus(models.TextChoices):
    """The states of an AgentRun."""

    PENDING = "pending"  # committed; no worker has reported progress yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"


_ACTIVE = [RunStatus.PENDING, RunStatus.RUNNING]


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
    """What is known about a run beside its text, filled in as it becomes known.

    The fields are the columns of AgentRun.
    """

    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    truncated: bool = False
    context_from: int | None = None
    first_token_at: datetime | None = None


class AgentRun(models.Model):
    """One run of an agent: it answers one message of a user.

    The row is the only shared state, whichever process works on the run and whichever
    watches it. It changes by conditional updates only.
    """

    Status = RunStatus
    ACTIVE = _ACTIVE
    process_model = WorkerProcess
    # What the run is marked with when its process is presumed dead.
    PRESUMED_DEAD_ERROR = "The server stopped while it was answering."

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="runs")
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="runs", help_text="What it answers."
    )
    agent = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, related_name="runs")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="agent_runs"
    )
    status = models.CharField(choices=RunStatus, default=RunStatus.PENDING)
    # What the client has asked for in this run only: agents_app.run_options.
    options = models.JSONField(null=True, editable=False)
    # Of the request, if it came with an Idempotency-Key: the same key must mean the same request.
    request_digest = models.CharField(blank=True, default="", db_default="", editable=False)
    # The WorkerProcess that has taken it on. No foreign key: processes come and go.
    process_id = models.UUIDField(null=True, editable=False)
    # How often a process has taken it on. A process that finds a higher number than its own
    # has lost the run to another one.
    attempt = models.PositiveSmallIntegerField(default=0, editable=False)
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
    # Where what the model was told begins, if that was not the whole chat.
    context_from = models.PositiveIntegerField(null=True, editable=False)
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
            # The same for one status, and on the admin's first page: runs per day by status,
            # the newest failures, the times of the newest answers.
            models.Index(fields=["status", "-created_at", "-id"], name="agent_runs_by_status"),
            # The same by model, and which models the newest runs have had.
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
    def is_interrupted(self) -> bool:
        return self.status == RunStatus.INTERRUPTED

    @property
    def is_continuation(self) -> bool:
        """Whether it goes on with an answer, whose last message is then its own."""
        return self.message.role == Message.Role.ASSISTANT

    @property
    def can_be_retried(self) -> bool:
        return self.status in {RunStatus.FAILED, RunStatus.INTERRUPTED}

    @property
    def public_error(self) -> str:
        """The error without what only staff are told."""
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
        """Record how it ended. False, with nothing changed, when it had ended before.

        A worker says at which attempt: another process may have taken the run over.
        """
        with transaction.atomic():
            # Without the model's id: a worker knows the run's only.
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
        """Like finish(), for a caller that has locked the session, and writes its row after it."""
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
        """Undo that its process was presumed dead; False when the chat has continued since.

        Called by that process, in a transaction that has locked the session.
        """
        if not self.is_awaited():
            return False
        interrupted = AgentRun.objects.filter(pk=self.pk, status=RunStatus.INTERRUPTED)
        values = {"status": RunStatus.RUNNING, "finished_at": None, "error": ""}
        resumed = bool(interrupted.update(heartbeat_at=Now(), **values))
        AgentRun.objects.record_last_status([self.session_id])
        return resumed

    def is_awaited(self) -> bool:
        """Whether an answer of it has its place at the chat's end: no other run is to write one."""
        later = AgentRun.objects.filter(message=self.message_id, created_at__gt=self.created_at)
        return not later.exists() and self.is_for_last_message()

    def is_for_last_message(self) -> bool:
        """Whether the chat has not continued after the message that it answers."""
        chosen = Message.objects.chosen().filter(session=self.session_id)
        last = chosen.order_by("-position").first()
        return last is not None and last.pk == self.message_id


class Feedback(models.Model):
    """What the user of a chat thinks of an answer."""

    message = models.OneToOneField(
        Message,
        on_delete=models.CASCADE,
        related_name="feedback",
        help_text="The answer's last message.",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    is_good = models.BooleanField()
    reason = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "feedback"
        verbose_name_plural = "feedback"
        indexes = [
            # The newest feedback, for reviewers.
            models.Index(fields=["-created_at", "-id"], name="feedback_newest"),
        ]

    def __str__(self) -> str:
        return "Good" if self.is_good else "Bad"

    @property
    def session(self) -> Session:
        return self.message.session
