"""The vocabulary: what sessions, messages and cleanup runs can be asked for.

The rule for what may be removed stands here and nowhere else: `SessionQuerySet.removable`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

if TYPE_CHECKING:
    from sessions_app.models import CleanupRun, Message, Session  # noqa: F401 - quoted below

AUTO_NAME_PREFIX = "Session-"
PHANTOM_PLATFORM = "automagik"


@dataclass(frozen=True)
class Window:
    """A span of creation times; both ends may be open.

    `created_after` belongs to it, `created_before` does not, so that two windows that
    meet share no session.
    """

    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        """Raises ValueError when it ends before it starts."""
        after, before = self.created_after, self.created_before
        if after is not None and before is not None and after >= before:
            raise ValueError(
                f"No session is created after {after:%Y-%m-%d %H:%M} and before "
                f"{before:%Y-%m-%d %H:%M}: the time window ends before it starts."
            )

    def as_q(self) -> Q:
        """The window as a condition on Session."""
        condition = Q()
        if self.created_after is not None:
            condition &= Q(created_at__gte=self.created_after)
        if self.created_before is not None:
            condition &= Q(created_at__lt=self.created_before)
        return condition


EVER = Window()


@dataclass(frozen=True)
class Kept:
    """How many sessions stay, by the first reason that applies to each."""

    named_by_person: int
    other_platform: int
    outside_window: int
    has_messages: int

    LABELS = {
        "named_by_person": "was named by a person",
        "other_platform": "is on another platform",
        "outside_window": "is outside the time window",
        "has_messages": "has messages, or other records refer to it",
    }

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Survey:
    """What a cleanup would do: how many sessions go, and how many stay and why."""

    removable: int
    kept: Kept


class SessionQuerySet(models.QuerySet["Session"]):
    """Sessions, in the product's words."""

    def for_user(self, user: Any) -> Self:
        """The sessions that belong to `user`; none for a visitor who is not logged in."""
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def auto_named(self) -> Self:
        """Those whose name a program made up (it starts with `Session-`)."""
        return self.filter(auto_named=True)

    def empty(self) -> Self:
        """Those on which nothing hangs: no row of any model points at them.

        The models are taken from Session's relations, so a model added later counts.
        """
        return self.filter(*(~pointing for pointing in self._rows_pointing_here()))

    def phantom_like(self, window: Window = EVER) -> Self:
        """Those that look like phantoms, whether or not something hangs on them."""
        return self.auto_named().filter(window.as_q(), platform=PHANTOM_PLATFORM)

    def removable(self, window: Window = EVER) -> Self:
        """Those that a cleanup may remove. The only definition of it."""
        return self.phantom_like(window).empty()

    def survey(self, window: Window = EVER) -> Survey:
        """Count what of these sessions a cleanup would remove, and what it would keep and why.

        Two queries; together they cost little more than counting the removable ones.
        """
        phantom_platform = Q(platform=PHANTOM_PLATFORM)
        counts = self.order_by().aggregate(
            named=models.Count("pk", filter=Q(auto_named=False)),
            elsewhere=models.Count("pk", filter=Q(auto_named=True) & ~phantom_platform),
            phantom_like=models.Count("pk", filter=Q(auto_named=True) & phantom_platform),
            in_window=models.Count(
                "pk", filter=Q(auto_named=True) & phantom_platform & window.as_q()
            ),
        )
        removable = self.removable(window).count()
        return Survey(
            removable=removable,
            kept=Kept(
                named_by_person=counts["named"],
                other_platform=counts["elsewhere"],
                outside_window=counts["phantom_like"] - counts["in_window"],
                # A chat may start between the two queries.
                has_messages=max(0, counts["in_window"] - removable),
            ),
        )

    def _rows_pointing_here(self) -> list[Exists]:
        relations = [
            relation
            for relation in self.model._meta.get_fields(include_hidden=True)
            if isinstance(relation, models.ForeignObjectRel) and not relation.many_to_many
        ]
        return [
            Exists(
                relation.related_model._base_manager.filter(
                    **{
                        relation.field.attname: OuterRef(relation.field.target_field.attname),
                    }
                )
            )
            for relation in relations
        ]


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages, in the product's words."""

    def transcript(self) -> Self:
        """In the order in which they were said."""
        return self.order_by("session_id", "position")


class CleanupRunQuerySet(models.QuerySet["CleanupRun"]):
    """Cleanup runs, in the product's words."""

    DIED = "The process that worked on it ended without a word."

    # How often a command that removes says that it lives.
    HEARTBEAT_INTERVAL = timedelta(seconds=2)
    # A command's run that has been silent for this long is presumed dead: several beats. In
    # SQLite a beat may also have to wait for another writer, for up to 20 seconds (the
    # connection's time-out).
    HEARTBEAT_TIMEOUT = {"postgresql": timedelta(seconds=10), "sqlite": timedelta(seconds=30)}
    # One of the admin's goes on over several requests, between which a person reads.
    ADMIN_TIMEOUT = timedelta(minutes=5)

    def running(self) -> Self:
        return self.filter(status="running")

    def presumed_dead(self) -> Self:
        """Runs that died while running, whether or not they have been marked."""
        return self.filter(self._silent())

    def with_current_status(self) -> Self:
        """With `current_status`, which is interrupted also for runs that are presumed dead.

        For those who only look: nothing is marked.
        """
        died = When(self._silent(), then=Value("interrupted"))
        return self.annotate(
            current_status=Case(died, default=F("status"), output_field=models.CharField())
        )

    def mark_dead_as_interrupted(self) -> int:
        """Mark runs that died while running; returns how many there were."""
        return self.presumed_dead().update(
            status="interrupted", finished_at=F("heartbeat_at"), error=self.DIED
        )

    def beat(self, **values: Any) -> int:
        """Say that these runs live; a run that was presumed dead is running again.

        Not one that has ended. Returns how many were unfinished.
        """
        return self.filter(status__in=["running", "interrupted"]).update(
            status="running", finished_at=None, error="", heartbeat_at=Now(), **values
        )

    def _silent(self) -> Q:
        """The rule by which a run is presumed dead, by the database's clock.

        Not by its process id, which means nothing in another container.
        """
        timeout = self.HEARTBEAT_TIMEOUT[connections[self.db].vendor]
        by_command = Q(source="command", heartbeat_at__lt=Now() - timeout)
        by_admin = Q(source="admin", heartbeat_at__lt=Now() - self.ADMIN_TIMEOUT)
        return Q(status="running") & (by_command | by_admin)

    def archive_expired(self, keep: timedelta) -> Self:
        """Ended runs whose removed sessions have been kept long enough."""
        return self.filter(finished_at__lt=timezone.now() - keep, archive_purged_at=None)
