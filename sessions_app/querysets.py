"""Named queries on sessions and messages.

`SessionQuerySet.removable` is the only definition of what may be removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models, transaction
from django.db.models import Case, Exists, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Left

from sessions_app.search import messages as search

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models import Message, Session  # noqa: F401 - quoted below

AUTO_NAME_PREFIX = "Session-"
PHANTOM_PLATFORM = "automagik"
NAME_START_LENGTH = 200  # characters; PostgreSQL limits the size of index entries
NAME_START = Left("name", NAME_START_LENGTH)  # what lists are ordered by
# Columns of messages that can be long, and that listing or answering messages does not need.
PAYLOAD_COLUMNS = ("raw_payload", "context", "channel_payload", "model_message", "extra")
OPENING_LENGTH = 600  # characters of the first message, for a title
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
    """What a cleanup would do: how many sessions it would remove, and how many it would keep."""

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
        """Those that were moved to the trash at that moment or later."""
        return self.filter(trashed_at__gte=moment)

    def owned_by(self, user: Any) -> Self:
        """Those that belong to `user`, in the trash or not; none for an anonymous user."""
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def named(self, name: str) -> Self:
        """Those with exactly this name, found through the index on the start of names."""
        starting = self.alias(name_start=NAME_START).filter(name_start=name[:NAME_START_LENGTH])
        return starting.filter(name=name)

    def with_messages(self) -> Self:
        """Those that have a message."""
        return self.filter(Exists(self._messages_of_row()))

    def started_or_named(self) -> Self:
        """Those with a message, or with a name that a person gave: what chat lists show."""
        # A scalar subquery, which is a look-up per row: Exists() within OR may read all messages.
        message = self._messages_of_row().values(is_there=Value(True))
        return self.alias(has_message=Coalesce(Subquery(message[:1]), False)).filter(
            Q(has_message=True) | (Q(keep=True) & ~self._is_unnamed())
        )

    def with_message_count(self) -> Self:
        """Annotate `message_count`."""
        by_session = self._messages_of_row().values("session")
        # No column is counted, so that the index on positions is enough.
        count = Subquery(by_session.values(n=models.Count("*")), output_field=models.IntegerField())
        return self.annotate(message_count=Coalesce(count, 0))

    def with_opening(self) -> Self:
        """Annotate `opening`: the start of the user's first message, unless a person named it."""
        by_user = self._messages_of_row().chosen().filter(role="user").exclude(text_content="")
        opening = by_user.order_by("position").values(start=Left("text_content", OPENING_LENGTH))
        text = models.TextField()
        found = Coalesce(Subquery(opening[:1]), Value(""), output_field=text)
        return self.annotate(
            opening=Case(When(self._is_unnamed(), then=found), default=Value(""), output_field=text)
        )

    def auto_named(self) -> Self:
        """Those whose name was generated: it starts with `Session-`."""
        return self.filter(auto_named=True)

    def unnamed(self) -> Self:
        """Those that no person has named."""
        return self.filter(self._is_unnamed())

    def empty(self) -> Self:
        """Those that no row of any model refers to.

        The models are derived from Session's relations, so that a model added later counts.
        """
        return self.filter(*(~reference for reference in self.references().values()))

    def removal_candidates(self, window: Window = ANY_TIME) -> Self:
        """Those that are removable if they are empty: auto-named, on automagik, not marked keep."""
        return self.auto_named().filter(window.as_q(), platform=PHANTOM_PLATFORM, keep=False)

    def removable(self, window: Window = ANY_TIME) -> Self:
        """Those that a cleanup may remove, even from the trash: they have nothing to restore."""
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

        With workers the planner hashes all messages. Without, it merges the index of candidates
        with that of messages: a third of the pages, a quarter of the work.
        """
        connection = connections[self.db]
        if connection.vendor != "postgresql":
            return self.count()
        with transaction.atomic(using=self.db), connection.cursor() as cursor:
            cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            return self.count()

    def _messages_of_row(self) -> MessageQuerySet:
        """The messages of each session, for a subquery."""
        messages = MessageQuerySet(self.model._meta.get_field("messages").related_model)
        return messages.filter(session=OuterRef("pk"))

    @staticmethod
    def _is_unnamed() -> Q:
        # Naming a session marks it keep, and so does restoring it: with the mark, only a name of
        # exactly the generated form is not a person's.
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
                    **{relation.field.attname: OuterRef(relation.field.target_field.attname)}
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
        """Those on the chosen line: no other version has replaced them or a message before them."""
        return self.filter(set_aside_with=None)

    def without_payloads(self) -> Self:
        """Defer the long columns that no conversation shows."""
        return self.defer(*PAYLOAD_COLUMNS)

    def mentioning(self, terms: Sequence[search.Term]) -> Self:
        """Those whose text contains all of the terms."""
        return self.filter(search.condition(terms, connections[self.db].vendor))

    def matching(self, alternatives: Sequence[search.Alternative]) -> Self:
        """Those whose text matches one of the alternatives; none without alternatives."""
        if not alternatives:
            return self.none()
        return self.filter(search.web_condition(alternatives, connections[self.db].vendor))
