"""Named queries on sessions, messages and cleanup runs.

`SessionQuerySet.removable` is the only definition of what may be removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Left, Now
from django.utils import timezone

from sessions_app.search import messages as search

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models import CleanupRun, Message, Session  # noqa: F401 - quoted below

AUTO_NAME_PREFIX = "Session-"
PHANTOM_PLATFORM = "automagik"
NAME_START_LENGTH = 200  # characters; PostgreSQL's index entries are not of any length
NAME_START = Left("name", NAME_START_LENGTH)  # what lists are ordered by
# Columns of messages that can be long, and that listing or answering messages does not need.
PAYLOAD_COLUMNS = ("raw_payload", "context", "channel_payload", "model_message", "extra")
OPENING_LENGTH = 600  # characters, from which a shown name is made
_GENERATED_NAME = f"^{AUTO_NAME_PREFIX}[0-9a-fA-F-]{{36}}$"


@dataclass(frozen=True)
class Window:
    """A half-open interval of creation times; None is unbounded.

    `created_after` is included and `created_before` is not, so that adjacent windows share no
    session.
    """

    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a window that ends before it starts."""
        after, before = self.created_after, self.created_before
        if after is not None and before is not None and after >= before:
            raise ValueError(
                f"No session is created after {after:%Y-%m-%d %H:%M} and before "
                f"{before:%Y-%m-%d %H:%M}: the time window ends before it starts."
            )

    def as_q(self) -> Q:
        """The window as a condition on sessions."""
        condition = Q()
        if self.created_after is not None:
            condition &= Q(created_at__gte=self.created_after)
        if self.created_before is not None:
            condition &= Q(created_at__lt=self.created_before)
        return condition


ANY_TIME = Window()


@dataclass(frozen=True)
class KeptCounts:
    """How many sessions are kept, by the first reason that applies to each."""

    named_by_person: int
    other_platform: int
    marked_keep: int
    outside_window: int
    has_messages: int

    LABELS = {
        "named_by_person": "named by a person",
        "other_platform": "on another platform",
        "marked_keep": "marked keep",
        "outside_window": "outside the time window",
        "has_messages": "with messages, or referred to by other records",
    }

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class RemovalPlan:
    """What a cleanup would do: how many sessions it would remove, and how many keep and why."""

    removable: int
    kept: KeptCounts


class SessionQuerySet(models.QuerySet["Session"]):
    """Chat sessions."""

    def for_user(self, user: Any) -> Self:
        """Those that belong to `user`, without the trash; none for an anonymous user."""
        return self.owned_by(user).not_trashed()

    def trash_of(self, user: Any) -> Self:
        """Those that `user` has deleted and can still restore."""
        return self.owned_by(user).trashed()

    def trashed(self) -> Self:
        """Those in anybody's trash."""
        return self.filter(trashed_at__isnull=False)

    def not_trashed(self) -> Self:
        """Those in nobody's trash."""
        return self.filter(trashed_at=None)

    def trashed_since(self, moment: datetime) -> Self:
        """Those that have been in a trash since that moment, or for less long."""
        return self.filter(trashed_at__gte=moment)

    def owned_by(self, user: Any) -> Self:
        """Those that belong to `user`, in the trash or not; none for an anonymous user."""
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def named(self, name: str) -> Self:
        """Those of exactly this name, found by the index of how names start."""
        starting = self.alias(name_start=NAME_START).filter(name_start=name[:NAME_START_LENGTH])
        return starting.filter(name=name)

    def with_messages(self) -> Self:
        """Those that have a message."""
        messages = self.model._meta.get_field("messages").related_model
        return self.filter(Exists(messages._base_manager.filter(session=OuterRef("pk"))))

    def started_or_named(self) -> Self:
        """Those that have a message, or a name that a person gave here: what lists show people."""
        messages = self.model._meta.get_field("messages").related_model
        # A scalar subquery, which is a look-up per row: Exists() within OR may read all messages.
        message = messages._base_manager.filter(session=OuterRef("pk")).values(is_there=Value(True))
        return self.alias(has_message=Coalesce(Subquery(message[:1]), False)).filter(
            Q(has_message=True) | (Q(keep=True) & ~self._is_unnamed())
        )

    def with_message_count(self) -> Self:
        """Annotate `message_count`."""
        messages = self.model._meta.get_field("messages").related_model
        own = messages._base_manager.filter(session=OuterRef("pk")).order_by().values("session")
        # Rows and no column of them: so the index on positions answers alone.
        count = Subquery(own.values(n=models.Count("*")), output_field=models.IntegerField())
        return self.annotate(message_count=Coalesce(count, 0))

    def with_opening(self) -> Self:
        """Annotate `opening`: how the user begins, where no person has named the session."""
        messages = MessageQuerySet(self.model._meta.get_field("messages").related_model)
        first = (
            messages.chosen().filter(session=OuterRef("pk"), role="user").exclude(text_content="")
        )
        opening = first.order_by("position").values(start=Left("text_content", OPENING_LENGTH))
        text = models.TextField()
        own_words = Coalesce(Subquery(opening[:1]), Value(""), output_field=text)
        return self.annotate(
            opening=Case(
                When(self._is_unnamed(), then=own_words), default=Value(""), output_field=text
            )
        )

    def auto_named(self) -> Self:
        """Those whose name was generated: it starts with `Session-`."""
        return self.filter(auto_named=True)

    def unnamed(self) -> Self:
        """Those that no person has named, as far as their row tells."""
        return self.filter(self._is_unnamed())

    def empty(self) -> Self:
        """Those that no row of any model refers to.

        The models are derived from Session's relations, so that a model added later counts.
        """
        return self.filter(*(~reference for reference in self.references().values()))

    def removal_candidates(self, window: Window = ANY_TIME) -> Self:
        """Those that are removable if they are empty: auto-named, automagik's, not marked keep."""
        return self.auto_named().filter(window.as_q(), platform=PHANTOM_PLATFORM, keep=False)

    def removable(self, window: Window = ANY_TIME) -> Self:
        """Those that a cleanup may remove, also from the trash: they hold nothing to restore."""
        return self.removal_candidates(window).empty()

    def removal_plan(self, window: Window = ANY_TIME) -> RemovalPlan:
        """Count which of these sessions a cleanup would remove, and which it would keep and why.

        Two queries, which together cost less than counting sessions without messages does.
        """
        platform = Q(platform=PHANTOM_PLATFORM)
        auto_named_on_platform = Q(auto_named=True) & platform
        counted = {
            "sessions": models.Count("pk"),
            "named": models.Count("pk", filter=Q(auto_named=False)),
            "elsewhere": models.Count("pk", filter=Q(auto_named=True) & ~platform),
            "marked": models.Count("pk", filter=auto_named_on_platform & Q(keep=True)),
        }
        if window != ANY_TIME:
            in_window = auto_named_on_platform & Q(keep=False) & window.as_q()
            counted["in_window"] = models.Count("pk", filter=in_window)
        counts = self.order_by().aggregate(**counted)
        kept = counts["named"] + counts["elsewhere"] + counts["marked"]
        candidates = counts["sessions"] - kept
        in_window_count = counts.get("in_window", candidates)
        removable = self.removable(window)._count_in_one_process()
        return RemovalPlan(
            removable=removable,
            kept=KeptCounts(
                named_by_person=counts["named"],
                other_platform=counts["elsewhere"],
                marked_keep=counts["marked"],
                outside_window=candidates - in_window_count,
                # A chat may have started between the two queries.
                has_messages=max(0, in_window_count - removable),
            ),
        )

    def _count_in_one_process(self) -> int:
        """Count these without parallel workers, on PostgreSQL until its transaction ends.

        With workers the planner hashes what it reads of all messages. Without, it reads the index
        of candidates and that of messages side by side: a third of the pages, a quarter of the
        work.
        """
        connection = connections[self.db]
        if connection.vendor != "postgresql":
            return self.count()
        with transaction.atomic(using=self.db), connection.cursor() as cursor:
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            return self.count()

    @staticmethod
    def _is_unnamed() -> Q:
        # With a keep mark, a name of any other form than the generated ones was given by a
        # person; a restored session has the mark and its generated name.
        generated = Q(auto_named=True) & (Q(keep=False) | Q(name__regex=_GENERATED_NAME))
        return generated | Q(name="")

    def references(self) -> dict[models.ForeignObjectRel, Exists]:
        """By relation to Session, whether it has a row that refers to the session."""
        relations = [
            relation
            for relation in self.model._meta.get_fields(include_hidden=True)
            if isinstance(relation, models.ForeignObjectRel) and not relation.many_to_many
        ]
        return {
            relation: Exists(
                relation.related_model._base_manager.filter(
                    **{
                        relation.field.attname: OuterRef(relation.field.target_field.attname),
                    }
                )
            )
            for relation in relations
        }


class MessageQuerySet(models.QuerySet["Message"]):
    """Messages of any session."""

    def for_user(self, user: User) -> Self:
        """Those of sessions that belong to `user`, without the trash."""
        return self.not_trashed().filter(session__user=user)

    def not_trashed(self) -> Self:
        """Those of sessions in nobody's trash."""
        return self.filter(session__trashed_at=None)

    def chosen(self) -> Self:
        """Those on the chosen line: neither they nor what they follow has another version now."""
        return self.filter(set_aside_with=None)

    def without_payloads(self) -> Self:
        """Without the long columns that no conversation shows."""
        return self.defer(*PAYLOAD_COLUMNS)

    def mentioning(self, terms: Sequence[search.Term]) -> Self:
        """Those whose text has all of the terms."""
        return self.filter(search.condition(terms, connections[self.db].vendor))

    def matching(self, alternatives: Sequence[search.Alternative]) -> Self:
        """Those to whose text one of the alternatives applies; none without any."""
        if not alternatives:
            return self.none()
        return self.filter(search.web_condition(alternatives, connections[self.db].vendor))


class CleanupRunQuerySet(models.QuerySet["CleanupRun"]):
    """Cleanup runs. Heartbeats are written and compared in the database's time."""

    # What a run that is presumed dead shows as its error.
    PROCESS_EXITED = "The process exited unexpectedly."

    HEARTBEAT_INTERVAL = timedelta(seconds=2)  # of the command
    # A command's run without a heartbeat for this long, several intervals, is presumed dead. In
    # SQLite a heartbeat may also have to wait up to 20 seconds (the connection's timeout) for
    # another writer.
    HEARTBEAT_TIMEOUT = {"postgresql": timedelta(seconds=10), "sqlite": timedelta(seconds=30)}
    # The admin's runs have a heartbeat per request, and a person may pause between two.
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
        """Record these that are presumed dead as interrupted; returns how many there were."""
        return self.presumed_dead().update(
            status=self.model.Status.INTERRUPTED,
            finished_at=F("heartbeat_at"),
            error=self.PROCESS_EXITED,
        )

    def record_heartbeat(self, **values: Any) -> int:
        """Write a heartbeat, and `values`, for those that have not ended; returns how many.

        A run that was marked as interrupted is running again.
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

        The only definition of what can be restored. One look-up a run, and `current_status`.
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

        Rows are not counted. Also annotates `restore_obstacle`.
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
