"""Who answers (Agent), each turn of an answer (AgentRun), and whom an import has made."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from agents_app.querysets import AgentQuerySet, AgentRunQuerySet
from sessions_app.models import Message, Session


class Agent(models.Model):
    """A model with a system prompt that people can chat with."""

    name = models.CharField(unique=True)
    type = models.CharField(default="simple")
    model = models.CharField(
        blank=True,
        default="",
        help_text="A pydantic-ai model string such as openai:gpt-4.1-mini, "
        "or empty for the default (AGENT_MODEL).",
    )
    description = models.TextField(blank=True, default="")
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


class ImportedUser(models.Model):
    """The mark of a user whom an import has made, and not a person who logs in here."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )

    class Meta:
        db_table = "imported_users"

    def __str__(self) -> str:
        return f"Import of user {self.pk}"


class AgentRun(models.Model):
    """One turn of an agent: it answers one message of a person.

    The row is what everybody agrees on, whichever process works on the run and whichever
    watches it. Its state changes by conditional updates only.
    """

    class Status(models.TextChoices):
        PENDING = "pending"  # committed; nothing has been heard of its worker yet
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        STOPPED = "stopped"
        INTERRUPTED = "interrupted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="runs")
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="runs", help_text="What it answers."
    )
    agent = models.ForeignKey(Agent, on_delete=models.SET_NULL, null=True, related_name="runs")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="agent_runs"
    )
    status = models.CharField(choices=Status, default=Status.PENDING)
    # What has come so far; the finished answer is a message.
    text = models.TextField(blank=True, default="")
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects = AgentRunQuerySet.as_manager()

    class Meta:
        db_table = "agent_runs"
        indexes = [
            # The admin's list of runs, newest first.
            models.Index(fields=["-created_at", "-id"], name="agent_runs_newest"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["session"],
                condition=Q(status__in=["pending", "running"]),
                name="agent_runs_one_active",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "running"], finished_at=None)
                | (~Q(status__in=["pending", "running"]) & Q(finished_at__isnull=False)),
                name="agent_runs_finished_or_active",
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in {self.Status.PENDING, self.Status.RUNNING}

    @property
    def is_interrupted(self) -> bool:
        return self.status == self.Status.INTERRUPTED

    @property
    def can_be_retried(self) -> bool:
        return self.status in {self.Status.FAILED, self.Status.INTERRUPTED}

    def finish(self, status: Status, *, text: str | None = None, error: str = "") -> bool:
        """Record how it ended. False when it has ended before, and nothing was changed."""
        changes = {} if text is None else {"text": text}
        active = AgentRun.objects.active().filter(pk=self.pk)
        ended = active.update(
            status=status,
            error=error,
            finished_at=timezone.now(),
            heartbeat_at=Now(),
            **changes,
        )
        return bool(ended)

    def resume(self) -> bool:
        """Take back that its process was presumed dead; False when something came after it.

        For that process, in a transaction that has locked the session.
        """
        later = AgentRun.objects.filter(message=self.message_id, created_at__gt=self.created_at)
        last = Message.objects.filter(session=self.session_id).order_by("-position").first()
        if later.exists() or last is None or last.pk != self.message_id:
            return False
        dead = AgentRun.objects.filter(pk=self.pk, status=self.Status.INTERRUPTED)
        values = {"status": self.Status.RUNNING, "finished_at": None, "error": ""}
        return bool(dead.update(heartbeat_at=Now(), **values))
