"""The stored data: Session, Message, CleanupRun and RemovedSession.

Messages are written by sessions_app.writing and sessions are removed in bulk by
sessions_app.cleanup; both follow the protocol described in those modules.
"""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Left, Now
from django.db.models.lookups import Exact
from django.utils import timezone

from sessions_app.querysets import (
    AUTO_NAME_PREFIX,
    PHANTOM_PLATFORM,
    CleanupRunQuerySet,
    MessageQuerySet,
    SessionQuerySet,
)


class Session(models.Model):
    """A conversation between a person and an agent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="chat_sessions",
        db_index=False,  # sessions_by_user starts with it
    )
    agent = models.ForeignKey(
        "agents_app.Agent",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="chat_sessions",
        db_index=False,  # sessions_by_agent, without the many rows that have none
    )
    name = models.CharField(blank=True, default="")
    platform = models.CharField(blank=True, default="")
    metadata = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField("last activity", default=timezone.now, editable=False)
    run_finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    # A column, because "starts with" ignores case in SQLite, and because PostgreSQL
    # keeps statistics of columns, without which it misjudges how many sessions match.
    auto_named = models.GeneratedField(
        expression=Exact(Left("name", len(AUTO_NAME_PREFIX)), Value(AUTO_NAME_PREFIX)),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        db_table = "sessions"
        verbose_name = "chat session"
        indexes = [
            # The cleaner's walk through the candidates in key order.
            models.Index(
                fields=["id"],
                name="sessions_auto_named",
                condition=Q(auto_named=True, platform=PHANTOM_PLATFORM),
            ),
            # A person's chats, the last used first.
            models.Index("user", models.F("updated_at").desc(), name="sessions_by_user"),
            # An agent's sessions: the admin's filter, and the deletion of an agent.
            models.Index(
                fields=["agent"], name="sessions_by_agent", condition=Q(agent__isnull=False)
            ),
            # The admin's list, newest first.
            models.Index(fields=["-created_at", "-id"], name="sessions_newest"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


class Message(models.Model):
    """One entry of a session's transcript; `position` is its place in it."""

    class Role(models.TextChoices):
        SYSTEM = "system"
        USER = "user"
        ASSISTANT = "assistant"
        TOOL = "tool"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(
        Session,
        on_delete=models.CASCADE,
        related_name="messages",
        db_index=False,  # messages_one_per_position starts with it
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="chat_messages",
    )
    agent = models.ForeignKey(
        "agents_app.Agent",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="chat_messages",
        db_index=False,  # messages_by_agent, without the rows that have none
    )
    position = models.PositiveIntegerField()
    role = models.CharField(choices=Role)
    text_content = models.TextField(blank=True, default="")
    message_type = models.CharField(blank=True, default="text")
    tool_calls = models.JSONField(null=True, blank=True)
    tool_outputs = models.JSONField(null=True, blank=True)
    raw_payload = models.JSONField(null=True, blank=True)
    context = models.JSONField(null=True, blank=True)
    channel_payload = models.JSONField(null=True, blank=True)
    # The message as the agent library writes it. A model is told it again as it stands here,
    # so that only this product may write it: an import, a form or a channel never does.
    model_message = models.JSONField(null=True, blank=True)
    # What an imported message carried that has no column of its own here.
    extra = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        db_table = "messages"
        constraints = [
            # Also the index of every transcript and of "has it any message?".
            models.UniqueConstraint(
                fields=["session", "position"], name="messages_one_per_position"
            ),
            models.CheckConstraint(
                condition=Q(role__in=["system", "user", "assistant", "tool"]),
                name="messages_known_role",
            ),
        ]
        indexes = [
            # The deletion of an agent.
            models.Index(
                fields=["agent"], name="messages_by_agent", condition=Q(agent__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}"


class CleanupRun(models.Model):
    """One cleanup: who started it, with which criteria, and what came of it."""

    class Source(models.TextChoices):
        COMMAND = "command"
        ADMIN = "admin"

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        PARTIAL = "partial", "Stopped early"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    source = models.CharField(choices=Source)
    started_by = models.CharField(help_text="A user's name, or user@host for the command.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # The process that works on it, for people who look for it. Empty for the admin, whose
    # runs go on over several requests.
    host = models.CharField(blank=True, default="")
    pid = models.PositiveIntegerField(null=True)
    criteria = models.JSONField(default=dict)
    status = models.CharField(choices=Status, default=Status.RUNNING)
    matched = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    restored = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, default="")
    # The last session looked at: where the next batch begins.
    cursor = models.UUIDField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    archive_purged_at = models.DateTimeField(null=True)

    current_status: str  # with_current_status()'s

    objects = CleanupRunQuerySet.as_manager()

    class Meta:
        db_table = "cleanup_runs"
        indexes = [
            # The next cleanup's search for runs that died.
            models.Index(
                fields=["heartbeat_at"],
                name="cleanup_runs_running",
                condition=Q(status="running"),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="running", finished_at=None)
                | (~Q(status="running") & Q(finished_at__isnull=False)),
                name="cleanup_runs_finished_or_running",
            ),
        ]

    def __str__(self) -> str:
        return f"Cleanup {self.pk}"

    @property
    def duration(self) -> timedelta:
        """How long it took, or has been taking."""
        return (self.finished_at or timezone.now()) - self.started_at

    @property
    def archived(self) -> int:
        """How many of its sessions can (still) be put back."""
        return self.removed_sessions.count()

    def add_removed(self, count: int) -> None:
        """Count a batch; part of the transaction that removes it."""
        CleanupRun.objects.filter(pk=self.pk).update(
            removed=models.F("removed") + count, heartbeat_at=Now()
        )

    def pause_at(self, cursor: uuid.UUID | None) -> None:
        """Record how far it has come; the next request goes on from there.

        Unless it has been ended meanwhile, by another request.
        """
        CleanupRun.objects.filter(pk=self.pk).beat(cursor=cursor)
        self.refresh_from_db()

    def add_restored(self, count: int) -> None:
        """Count sessions put back; part of the transaction that puts them back."""
        CleanupRun.objects.filter(pk=self.pk).update(restored=models.F("restored") + count)

    def mark_purged(self) -> None:
        """Record that its sessions can no longer be put back."""
        CleanupRun.objects.filter(pk=self.pk).update(archive_purged_at=timezone.now())

    def finish(self, status: Status, error: str = "") -> None:
        """Record how it ended, also when it had been presumed dead meanwhile."""
        CleanupRun.objects.filter(pk=self.pk).update(
            status=status, error=error, heartbeat_at=Now(), finished_at=timezone.now()
        )
        self.refresh_from_db()


class RemovedSession(models.Model):
    """A session that a cleanup removed, column for column, so that it can be put back.

    User and agent are kept as plain numbers: either may be deleted while the session
    lies in the archive, and checking them would slow every removal down.
    """

    pk = models.CompositePrimaryKey("run_id", "session_id")
    run = models.ForeignKey(
        CleanupRun,
        on_delete=models.CASCADE,
        related_name="removed_sessions",
        db_index=False,  # the primary key starts with it
        db_constraint=False,  # as above; only sessions_app.cleanup and .restore write here
    )
    session_id = models.UUIDField()
    user_id = models.BigIntegerField(null=True)
    agent_id = models.BigIntegerField(null=True)
    name = models.CharField()
    platform = models.CharField()
    metadata = models.JSONField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    run_finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "removed_sessions"

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def columns() -> list[str]:
        """The columns that are archived beside the id: all that Session stores.

        Taken from Session, so that a column that is missing here stops a cleanup instead of
        getting lost by it.
        """
        return [
            field.attname
            for field in Session._meta.concrete_fields
            if not field.primary_key and not isinstance(field, models.GeneratedField)
        ]
