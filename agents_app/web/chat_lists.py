"""What the lists of chats show: the sidebar, the list of all chats, and the trash. Only reads.

Each is read page by page from a position in an index, however many chats there are.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.formats import date_format

from agents_app.chats.trash import trash_expiry
from agents_app.models import AgentRun
from sessions_app.keyset import rows_after
from sessions_app.models import Session
from sessions_app.querysets import SessionQuerySet
from sessions_app.time_conversion import local_time

SIDEBAR_CHATS = 40
MOST_SIDEBAR_CHATS = 400
PINNED_CHATS = 100  # shown at most
CHATS_PER_PAGE = 50

AnyUser = User | AnonymousUser


@dataclass(frozen=True)
class Cursor:
    """The last entry of a page, which the next page begins after."""

    at: datetime
    pk: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()}_{self.pk}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is not a cursor."""
        at, _, pk = text.partition("_")
        moment = datetime.fromisoformat(at)
        if timezone.is_naive(moment):
            raise ValueError("A cursor has a time zone.")
        return cls(moment, UUID(pk))


@dataclass(frozen=True)
class Group:
    """Chats under one heading; without one, they continue the group before."""

    label: str
    chats: list[Session]


@dataclass(frozen=True)
class Sidebar:
    """Groups of chats, and where the next ones begin, if there are more."""

    groups: list[Group]
    next: Cursor | None = None


@dataclass(frozen=True)
class ChatListPage:
    """A page of a list, and where the next one begins, if there is one."""

    chats: list[Session] = field(default_factory=list)
    next: Cursor | None = None


def read_sidebar(
    user: AnyUser, *, after: Cursor | None = None, count: int = SIDEBAR_CHATS
) -> Sidebar:
    """The user's chats, pinned ones first, then by last use. Two queries."""
    chats = _listed(user).annotate(answering=Exists(_active_runs()))
    pinned = list(chats.filter(pinned_at__isnull=False).order_by("-pinned_at", "pk")[:PINNED_CHATS])
    page = _page(chats.filter(pinned_at=None), "updated_at", after, count)
    today = timezone.localdate()
    groups = [
        Group(label, list(members))
        for label, members in groupby(page.chats, lambda chat: age_label(chat.updated_at, today))
    ]
    if pinned and after is None:
        groups.insert(0, Group("Pinned", pinned))
    if after is not None and groups and groups[0].label == age_label(after.at, today):
        groups[0] = Group("", groups[0].chats)
    return Sidebar(groups, page.next)


def read_all(user: AnyUser, *, after: Cursor | None = None) -> ChatListPage:
    """The user's chats, pinned or not, the last used first. One query."""
    return _page(_listed(user), "updated_at", after, CHATS_PER_PAGE)


def count_all(user: AnyUser) -> int:
    """How many chats the list of all has. One query."""
    return _listed(user).count()


def read_trash(user: AnyUser, *, after: Cursor | None = None) -> ChatListPage:
    """The chats in the user's trash that have not expired, the last deleted first. One query."""
    kept = Session.objects.trash_of(user).trashed_since(trash_expiry())
    return _page(kept.with_opening(), "trashed_at", after, CHATS_PER_PAGE)


def age_label(moment: datetime, today: date) -> str:
    """The group of a chat: by days up to a month, then by months, then by years."""
    day = local_time(moment).date()
    if day >= today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    if day >= today - timedelta(days=7):
        return "Previous 7 days"
    if day >= today - timedelta(days=30):
        return "Previous 30 days"
    return date_format(day, "F" if day.year == today.year else "F Y")


def _listed(user: AnyUser) -> SessionQuerySet:
    return Session.objects.for_user(user).started_or_named().with_opening()


def _active_runs() -> Any:
    return AgentRun.objects.active().filter(session=OuterRef("pk"))


def _page(chats: SessionQuerySet, column: str, after: Cursor | None, count: int) -> ChatListPage:
    if after is not None:
        chats = chats.filter(rows_after([(column, after.at, True), ("pk", after.pk, False)]))
    rows = list(chats.order_by(f"-{column}", "pk")[: count + 1])
    shown = rows[:count]
    if len(rows) == len(shown):
        return ChatListPage(shown)
    return ChatListPage(shown, Cursor(getattr(shown[-1], column), shown[-1].pk))
