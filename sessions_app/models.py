"""The stored data: Session and Message.

The models of cleanups and reviews are in their packages and re-exported here.

Messages are written by sessions_app.writing, and sessions are removed in bulk by
sessions_app.cleanup; both follow the protocol described in writing and cleanup.batches.
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Left
from django.db.models.lookups import Exact
from django.utils import timezone

from sessions_app.cleanup.models import CleanupRun, RemovedSession
from sessions_app.querysets import (
    AUTO_NAME_PREFIX,
    NAME_START,
    PHANTOM_PLATFORM,
    MessageQuerySet,
    SessionQuerySet,
)
from sessions_app.review.models import Export, Review, SavedFilter, TranscriptReading
from sessions_app.run_statuses import RunStatus

__all__ = [
    "CleanupRun",
    "Export",
    "Message",
    "RemovedSession",
    "Review",
    "SavedFilter",
    "Session",
    "TranscriptReading",
]


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
        db_index=False,  # sessions_by_agent leaves out the many rows without one
    )
    name = models.CharField(blank=True, default="")
    platform = models.CharField(blank=True, default="")
    metadata = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField("last activity", default=timezone.now, editable=False)
    run_finished_at = models.DateTimeField(null=True, blank=True, editable=False)
    pinned_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When its user moved it to the trash.
    trashed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # No cleanup removes it, whatever its name: it was restored, or named by a person.
    keep = models.BooleanField(default=False, db_default=False, editable=False)
    # The RunStatus of its newest run, "running" until that has ended; empty without a run. Set by
    # whatever starts and ends runs, to agents_app.querysets.AgentRunQuerySet.last_status.
    last_run_status = models.CharField(blank=True, default="", db_default="", editable=False)

    # A column, because "starts with" ignores case in SQLite, and because without a column's
    # statistics PostgreSQL misestimates how many sessions match.
    auto_named = models.GeneratedField(
        expression=Exact(Left("name", len(AUTO_NAME_PREFIX)), Value(AUTO_NAME_PREFIX)),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        db_table = "sessions"
        verbose_name = "chat session"
        permissions = [
            ("read_transcripts", "Can read what was said in chat sessions"),
            ("review_session", "Can review chat sessions: verdict, flag, reviewed"),
            ("restore_session", "Can restore removed chat sessions"),
            ("export_session", "Can export chat sessions"),
        ]
        indexes = [
            # A cleanup's candidates, in key order.
            models.Index(
                fields=["id"],
                name="sessions_auto_named",
                condition=Q(auto_named=True, platform=PHANTOM_PLATFORM, keep=False),
            ),
            # A user's chats, most recently used first.
            models.Index("user", models.F("updated_at").desc(), name="sessions_by_user"),
            # An agent's sessions: the admin's filter, and deleting an agent.
            models.Index(
                fields=["agent"], name="sessions_by_agent", condition=Q(agent__isnull=False)
            ),
            # The admin's list, newest first.
            models.Index(fields=["-created_at", "-id"], name="sessions_newest"),
            # The admin's filter by failed, stopped or interrupted last answers, newest first.
            models.Index(
                "last_run_status",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="sessions_by_outcome",
                condition=Q(
                    last_run_status__in=[RunStatus.FAILED, RunStatus.STOPPED, RunStatus.INTERRUPTED]
                ),
            ),
            # The admin's filter for removable sessions, which may all be older than the others.
            models.Index(
                fields=["-created_at", "-id"],
                name="sessions_auto_named_newest",
                condition=Q(auto_named=True, platform=PHANTOM_PLATFORM, keep=False),
            ),
            # The admin's list ordered by name or last activity, in either direction. Only the
            # start of a name, since PostgreSQL limits the size of index entries.
            models.Index(NAME_START, "id", name="sessions_by_name"),
            models.Index(fields=["updated_at", "id"], name="sessions_by_activity"),
            # A user's pinned chats, which are listed first.
            models.Index(
                fields=["user"], name="sessions_pinned", condition=Q(pinned_at__isnull=False)
            ),
            # A user's trash, and sessions that are due for deletion from it.
            models.Index(
                fields=["trashed_at"],
                name="sessions_trashed",
                condition=Q(trashed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)

    @property
    def is_trashed(self) -> bool:
        """Whether it is in its user's trash."""
        return self.trashed_at is not None

    @classmethod
    def archived_columns(cls) -> list[str]:
        """The columns that a cleanup archives: all that are stored, except the id.

        Derived from the model, so that a cleanup fails instead of losing data when the archive
        lacks a column.
        """
        return [
            field.attname
            for field in cls._meta.concrete_fields
            if not field.primary_key and not isinstance(field, models.GeneratedField)
        ]


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
        db_index=False,  # messages_by_agent leaves out the rows without one
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
    # The message as the agent library serializes it. It is sent to models unchanged, so only
    # this product's own runs may write it, never an import, a form or a channel.
    model_message = models.JSONField(null=True, blank=True)
    # The run that wrote it; none for a user's message or an imported one.
    run = models.ForeignKey(
        "agents_app.AgentRun",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="answer",
        db_index=False,  # messages_by_run leaves out the rows without one
    )
    # The first version of a user's message that was edited; NULL for the first version itself.
    version_of = models.UUIDField(null=True, blank=True, editable=False)
    # NULL on the chosen line, which pages show and models receive. Otherwise the head of the part
    # of the line that another version has replaced: the id of its first user message, or of the
    # run of its first answer.
    set_aside_with = models.UUIDField(null=True, blank=True, editable=False)
    # Columns of an imported message that have no counterpart here.
    extra = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        db_table = "messages"
        constraints = [
            # Also the index for reading a transcript and for checking whether it is empty.
            models.UniqueConstraint(
                fields=["session", "position"], name="messages_one_per_position"
            ),
            models.CheckConstraint(
                condition=Q(role__in=["system", "user", "assistant", "tool"]),
                name="messages_known_role",
            ),
        ]
        indexes = [
            # Messages per day, on the dashboard.
            models.Index(fields=["created_at"], name="messages_by_time"),
            # Deleting an agent.
            models.Index(
                fields=["agent"], name="messages_by_agent", condition=Q(agent__isnull=False)
            ),
            # The versions of an answer, and deleting runs.
            models.Index(fields=["run"], name="messages_by_run", condition=Q(run__isnull=False)),
            # The versions of an edited message.
            models.Index(
                fields=["version_of"],
                name="messages_by_version",
                condition=Q(version_of__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}"
