"""The models of cleanups: the record of each one, and the archive of what it removed.

sessions_app.models re-exports them.
"""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.cleanup.run_querysets import CleanupRunQuerySet

_ARCHIVE_COUNTED = 10_000  # rows at most


class CleanupRun(models.Model):
    """One cleanup: who started it, with which criteria, and its outcome."""

    class Source(models.TextChoices):
        COMMAND = "command"
        ADMIN = "admin"
        SCHEDULE = "schedule"
        API = "api", "API"

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        PARTIAL = "partial", "Stopped early"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    class RestoreObstacle(models.TextChoices):
        """Why none of its sessions can be restored."""

        RUNNING = "running"
        PURGED = "purged"
        EMPTY = "empty"  # nothing was removed or archived, or all has been restored

    # A run that is marked as interrupted may still be alive: its next heartbeat sets it to running.
    UNFINISHED = [Status.RUNNING, Status.INTERRUPTED]

    source = models.CharField(choices=Source)
    started_by = models.CharField(help_text="A user's name, or user@host for the command.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # The process that executes it, for operators. Empty for the admin's runs, which continue over
    # several requests.
    host = models.CharField(blank=True, default="")
    pid = models.PositiveIntegerField(null=True)
    criteria = models.JSONField(default=dict)
    status = models.CharField(choices=Status, default=Status.RUNNING)
    matched = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    restored = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, default="")
    # The last session that was examined: the next request continues after it.
    cursor = models.UUIDField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    archive_purged_at = models.DateTimeField(null=True)

    current_status: str  # annotated by with_current_status()
    restore_obstacle: str  # annotated by with_restore_obstacle(); empty without one
    restorable: int  # annotated by with_restorable()

    objects = CleanupRunQuerySet.as_manager()

    class Meta:
        db_table = "cleanup_runs"
        indexes = [
            # The next cleanup's search for runs that are presumed dead.
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
        """How long it took, or has taken so far; never negative, even if clocks differ."""
        return max(timedelta(), (self.finished_at or timezone.now()) - self.started_at)

    @property
    def archived(self) -> int:
        """How many of its sessions can still be restored.

        Large archives are not counted: their size is taken from the run's own counts, which are
        too high while the archive is being purged.
        """
        counted = self.removed_sessions.values("session_id")[: _ARCHIVE_COUNTED + 1].count()
        if counted <= _ARCHIVE_COUNTED:
            return counted
        return max(counted, self.removed - self.restored)

    @property
    def restorable_until(self) -> datetime:
        """The time until which its archive is kept, at least."""
        ended = self.finished_at or self.heartbeat_at
        return ended + timedelta(days=settings.CLEANUP_ARCHIVE_DAYS)

    def add_removed(self, count: int) -> None:
        """Count a batch, within the transaction that removes it."""
        CleanupRun.objects.filter(pk=self.pk).update(
            removed=models.F("removed") + count, heartbeat_at=Now()
        )

    def pause_at(self, cursor: uuid.UUID | None) -> None:
        """Record where the next request continues, unless another request has ended the run."""
        CleanupRun.objects.filter(pk=self.pk).record_heartbeat(cursor=cursor)
        self.refresh_from_db()

    def add_restored(self, count: int) -> None:
        """Count restored sessions, within the transaction that restores them."""
        CleanupRun.objects.filter(pk=self.pk).update(restored=models.F("restored") + count)

    def mark_purged(self) -> None:
        """Record that its sessions can no longer be restored."""
        CleanupRun.objects.filter(pk=self.pk).update(archive_purged_at=timezone.now())

    def finish(self, status: Status, error: str = "") -> None:
        """Record how it ended, even if it has been presumed dead in the meantime."""
        CleanupRun.objects.filter(pk=self.pk).update(
            status=status, error=error, heartbeat_at=Now(), finished_at=timezone.now()
        )
        self.refresh_from_db()


class RemovedSession(models.Model):
    """A session that a cleanup removed, column for column, so that it can be restored.

    User and agent are plain numbers without foreign keys: either may be deleted while the
    session is archived, and checking them would slow down every removal.
    """

    pk = models.CompositePrimaryKey("run_id", "session_id")
    run = models.ForeignKey(
        CleanupRun,
        on_delete=models.CASCADE,
        related_name="removed_sessions",
        db_index=False,  # the primary key starts with it
        db_constraint=False,  # as above; only sessions_app.cleanup writes rows here
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
    pinned_at = models.DateTimeField(null=True)
    trashed_at = models.DateTimeField(null=True)
    keep = models.BooleanField(default=False, db_default=False)
    last_run_status = models.CharField(default="", db_default="")

    class Meta:
        db_table = "removed_sessions"

    def __str__(self) -> str:
        return self.name
