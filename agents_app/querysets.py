"""The QuerySets of agents, API keys, runs, and the processes that work on runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from sessions_app.models import Session

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from agents_app.models import Agent, AgentRun, ApiKey, WorkerProcess  # noqa: F401 - quoted below

# The PostgreSQL channel that is notified when progress is saved.
PROGRESS_CHANNEL = "agent_runs"
_MAX_DEAD = 1000  # runs presumed dead that `currently` looks up


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents."""

    def active(self) -> Self:
        """Those that can answer."""
        return self.filter(active=True)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """API keys."""

    def valid(self) -> Self:
        """Those that can be used: neither revoked nor expired, of an active user."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    """Worker processes. Heartbeats are in the database's time."""

    def alive(self) -> Self:
        """Those whose heartbeat is not older than AGENT_HEARTBEAT_TIMEOUT."""
        return self.filter(heartbeat_at__gte=Now() - heartbeat_timeout())

    def stale(self) -> Self:
        """Those without a heartbeat for a day: they died without deleting their row."""
        return self.filter(heartbeat_at__lt=Now() - timedelta(days=1))


@dataclass(frozen=True)
class Progress:
    """The text that one attempt at a run has generated so far, and when the attempt started."""

    run_id: UUID
    attempt: int
    text: str
    started_at: datetime | None = None


class AgentRunQuerySet(models.QuerySet["AgentRun"]):
    """Runs of agents."""

    def owned_by(self, user: User) -> Self:
        """Those in the sessions of `user`, including the trash."""
        return self.filter(session__user=user)

    def for_user(self, user: User) -> Self:
        """Those in the sessions of `user`, excluding the trash."""
        return self.owned_by(user).filter(session__trashed_at=None)

    def with_owner(self) -> Self:
        """Those in the sessions of any user, excluding the trash."""
        return self.filter(session__trashed_at=None, session__user__isnull=False)

    def active(self) -> Self:
        """Those that have not ended."""
        return self.filter(status__in=self.model.ACTIVE)

    def requested_by(self, user_id: int | None) -> Self:
        """Those that this user has asked for, which count towards the user's limit."""
        return self.filter(user=user_id)

    def waiting(self) -> Self:
        """Those that no worker has started."""
        return self.filter(status=self.model.Status.PENDING)

    def queue_position(self, run_id: UUID) -> int | None:
        """How many runs have been waiting longer than this one; None if it is not waiting."""
        earlier = self.waiting().filter(created_at__lt=OuterRef("created_at")).order_by()
        count = Subquery(earlier.values("status").annotate(n=Count("pk")).values("n"))
        run = self.waiting().filter(pk=run_id).annotate(place=Coalesce(count, 0))
        return run.values_list("place", flat=True).first()

    def ahead_of(self, run: AgentRun) -> Self:
        """Its user's other runs that come first: already running, or waiting for longer."""
        earlier = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, pk__lt=run.pk)
        started = Q(status=self.model.Status.RUNNING)
        others = self.active().requested_by(run.user_id).exclude(pk=run.pk)
        return others.filter(started | earlier)

    def presumed_dead(self) -> Self:
        """The active ones whose process has had no heartbeat for AGENT_HEARTBEAT_TIMEOUT.

        Their process has died, unless the database was unavailable or locked all that time.
        """
        process = self.model.process_model.objects.alive().filter(pk=OuterRef("process_id"))
        silent = self.active().filter(
            ~Exists(process), heartbeat_at__lt=Now() - heartbeat_timeout()
        )
        # A run that waits for a worker has no process yet.
        return silent.exclude(process_id=None) if settings.ANSWERS_IN == "workers" else silent

    def with_current_status(self) -> Self:
        """Annotate `current_status`: the status, or interrupted when presumed dead.

        Nothing is written.
        """
        dead = self.model.objects.presumed_dead().filter(pk=OuterRef("pk"))
        presumed_dead = When(Exists(dead), then=Value(self.model.Status.INTERRUPTED.value))
        return self.annotate(
            current_status=Case(presumed_dead, default=F("status"), output_field=CharField())
        )

    def currently(self, status: str) -> Self:
        """Those with this current status.

        Those presumed dead are looked up first: there are few, and an index then finds the others
        by their status.
        """
        dead = list(self.model.objects.presumed_dead().values_list("pk", flat=True)[:_MAX_DEAD])
        if status == self.model.Status.INTERRUPTED and dead:
            return self.filter(Q(status=status) | Q(pk__in=dead))
        if status in self.model.ACTIVE and dead:
            return self.filter(status=status).exclude(pk__in=dead)
        return self.filter(status=status)

    def save_progress(self, progress: Collection[Progress]) -> set[UUID]:
        """Save the texts of active runs, in one statement; returns the ids of those saved.

        The others have ended, have been taken over by another process, or are locked by a
        transaction that is about to change them.
        """
        if connections[self.db].vendor == "postgresql":
            return self._save_progress_postgresql(progress)
        with transaction.atomic():
            by_id = {one.run_id: one for one in progress}
            current = self.active().filter(pk__in=by_id).values_list("pk", "attempt")
            own = [pk for pk, attempt in current if attempt == by_id[pk].attempt]
            texts = [When(pk=pk, then=Value(by_id[pk].text)) for pk in own]
            starts = [When(pk=pk, then=Value(by_id[pk].started_at)) for pk in own]
            if own:
                self.filter(pk__in=own).update(
                    text=Case(*texts, default=F("text"), output_field=models.TextField()),
                    started_at=Coalesce(
                        "started_at", Case(*starts, output_field=models.DateTimeField())
                    ),
                    status=self.model.Status.RUNNING,
                    heartbeat_at=Now(),
                )
        return set(own)

    def _save_progress_postgresql(self, progress: Collection[Progress]) -> set[UUID]:
        """Also notifies the channel. Building a CASE of hundreds of texts would be slow."""
        with connections[self.db].cursor() as cursor:
            cursor.execute(
                """
                WITH progress AS (
                    SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::timestamptz[])
                      AS p (id, attempt, text, started_at)
                ), own AS (
                    SELECT r.id, p.text, p.started_at FROM agent_runs AS r JOIN progress AS p
                      ON p.id = r.id AND p.attempt = r.attempt
                    WHERE r.status = ANY(%s) FOR NO KEY UPDATE OF r SKIP LOCKED
                ), saved AS (
                    UPDATE agent_runs AS r SET text = own.text, status = %s, heartbeat_at = now(),
                      started_at = COALESCE(r.started_at, own.started_at)
                    FROM own WHERE own.id = r.id RETURNING r.id
                )
                SELECT id, pg_notify(%s, '') FROM saved
                """,
                [
                    [one.run_id for one in progress],
                    [one.attempt for one in progress],
                    [one.text for one in progress],
                    [one.started_at for one in progress],
                    [str(status) for status in self.model.ACTIVE],
                    str(self.model.Status.RUNNING),
                    PROGRESS_CHANNEL,
                ],
            )
            return {pk for pk, _ in cursor.fetchall()}

    def interrupt_presumed_dead(self) -> int:
        """Mark those that are presumed dead as interrupted; returns their number.

        To be called only if the database is known to have been available throughout the timeout
        (agents_app.runs.liveness).
        """
        with transaction.atomic():
            # A row that a deletion or a member of staff has locked must not delay the others.
            sessions = Session.objects.filter(pk__in=self.presumed_dead().values("session"))
            sessions = sessions.select_for_update(skip_locked=True, no_key=True)
            session_ids = list(sessions.values_list("pk", flat=True))
            dead = self.presumed_dead().filter(session__in=session_ids)
            dead = dead.select_for_update(skip_locked=True, no_key=True)
            ids = list(dead.values_list("pk", flat=True))
            interrupted = self.filter(pk__in=ids).update(
                status=self.model.Status.INTERRUPTED,
                finished_at=F("heartbeat_at"),
                error=self.model.PRESUMED_DEAD_ERROR,
            )
            self.model.objects.record_last_status(session_ids)
            return interrupted

    def last_status(self) -> Coalesce:
        """The value for an update of the sessions' `last_run_status`.

        It is the status of the session's newest run. An active run counts as running: that a
        worker has started it is written to the run only.
        """
        status = self.model.Status
        newest = self.filter(session=OuterRef("pk")).order_by("-created_at", "-pk")
        active = When(status__in=self.model.ACTIVE, then=Value(status.RUNNING.value))
        shown = Case(active, default=F("status"), output_field=CharField())
        return Coalesce(Subquery(newest.values(shown=shown)[:1]), Value(""))

    def record_last_status(self, session_ids: Collection[UUID]) -> None:
        """Update the sessions' `last_run_status` after their runs have changed.

        The caller has locked the sessions' rows: sessions are always locked before runs.
        """
        if session_ids:
            sessions = Session.objects.filter(pk__in=session_ids)
            sessions.update(last_run_status=self.last_status())


def heartbeat_timeout() -> timedelta:
    """How long a process is silent before it is presumed dead."""
    return timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
