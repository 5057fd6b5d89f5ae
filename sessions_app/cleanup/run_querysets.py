"""Named queries on cleanup runs: which are presumed dead, and which can be restored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

if TYPE_CHECKING:
    from sessions_app.models import CleanupRun  # noqa: F401 - quoted below


class CleanupRunQuerySet(models.QuerySet["CleanupRun"]):
    """Cleanup runs. Heartbeats are written and compared by the database's clock."""

    # The error of a run that is presumed dead.
    PROCESS_EXITED = "The process exited unexpectedly."

    HEARTBEAT_INTERVAL = timedelta(seconds=2)  # of the command
    # A command's run without a heartbeat for this long, several intervals, is presumed dead. On
    # SQLite a heartbeat may have to wait up to 20 seconds (the connection's timeout) for another
    # writer.
    HEARTBEAT_TIMEOUT = {"postgresql": timedelta(seconds=10), "sqlite": timedelta(seconds=30)}
    # The admin's runs have one heartbeat per request, and a person may pause between requests.
    ADMIN_HEARTBEAT_TIMEOUT = timedelta(minutes=5)

    def unfinished(self) -> Self:
        """Those that can be continued: running, or marked as interrupted."""
        return self.filter(status__in=self.model.UNFINISHED)

    def presumed_dead(self) -> Self:
        """Those that are recorded as running, but whose heartbeat has timed out."""
        return self.filter(self._is_presumed_dead())

    def with_current_status(self) -> Self:
        """Annotate `current_status`: the status, or interrupted when presumed dead.

        For reading: nothing is written.
        """
        presumed_dead = When(
            self._is_presumed_dead(), then=Value(self.model.Status.INTERRUPTED.value)
        )
        return self.annotate(
            current_status=Case(presumed_dead, default=F("status"), output_field=models.CharField())
        )

    def mark_presumed_dead(self) -> int:
        """Record those that are presumed dead as interrupted; returns how many there were."""
        return self.presumed_dead().update(
            status=self.model.Status.INTERRUPTED,
            finished_at=F("heartbeat_at"),
            error=self.PROCESS_EXITED,
        )

    def record_heartbeat(self, **values: Any) -> int:
        """Write a heartbeat, and `values`, for those that have not ended; returns how many.

        A run that was marked as interrupted becomes running again.
        """
        running = self.model.Status.RUNNING
        return self.unfinished().update(
            status=running, finished_at=None, error="", heartbeat_at=Now(), **values
        )

    def archive_expired(self, keep: timedelta) -> Self:
        """Those that ended more than `keep` ago and whose archive has not been purged."""
        return self.filter(finished_at__lt=timezone.now() - keep, archive_purged_at=None)

    def with_restore_obstacle(self) -> Self:
        """Annotate `restore_obstacle`: why nothing can be restored; empty where something can.

        The only definition of what can be restored. Also annotates `current_status`.
        """
        archived = self.model._meta.get_field("removed_sessions").related_model
        rows = archived._base_manager.filter(run=OuterRef("pk"))
        obstacle = self.model.RestoreObstacle
        is_running = When(
            current_status=self.model.Status.RUNNING, then=Value(obstacle.RUNNING.value)
        )
        is_purged = When(archive_purged_at__isnull=False, then=Value(obstacle.PURGED.value))
        is_empty = When(~Exists(rows), then=Value(obstacle.EMPTY.value))
        return self.with_current_status().annotate(
            restore_obstacle=Case(
                *(is_running, is_purged, is_empty),
                default=Value(""),
                output_field=models.CharField(),
            )
        )

    def with_restorable(self) -> Self:
        """Annotate `restorable`: how many sessions can still be restored, by the run's counts.

        The archive's rows are not counted. Also annotates `restore_obstacle`.
        """
        return self.with_restore_obstacle().annotate(
            restorable=Case(
                When(restore_obstacle="", then=F("removed") - F("restored")),
                default=Value(0),
                output_field=models.IntegerField(),
            )
        )

    def _is_presumed_dead(self) -> Q:
        # Not by process id, which means nothing in another container.
        timeout = self.HEARTBEAT_TIMEOUT[connections[self.db].vendor]
        by_admin = Q(source=self.model.Source.ADMIN)
        timed_out = (~by_admin & Q(heartbeat_at__lt=Now() - timeout)) | (
            by_admin & Q(heartbeat_at__lt=Now() - self.ADMIN_HEARTBEAT_TIMEOUT)
        )
        return Q(status=self.model.Status.RUNNING) & timed_out
