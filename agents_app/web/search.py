"""Searches a user's own chats. Four queries at most.

It finds the names of chats and the messages on the chosen line, which a chat's page shows, but
neither other versions nor anything in the trash.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Prefetch, Q

from agents_app.web.message_entries import plain_line
from sessions_app.models import Message, Session
from sessions_app.search import messages as search
from sessions_app.search.excerpts import Segment, excerpt, matching

CHATS_SHOWN = 10
VISIBLE_ROLES = [Message.Role.USER, Message.Role.ASSISTANT]
MESSAGES_PER_PAGE = 20
MESSAGES_COUNTED = 100


@dataclass(frozen=True)
class Hit:
    """A message with the words, and an excerpt that has them."""

    message: Message
    parts: list[Segment]


@dataclass(frozen=True)
class Results:
    """A page of what was found.

    Messages are grouped by chat, the last used one first, and ordered by position. No more than
    MESSAGES_COUNTED can be shown.
    """

    chats: list[Session]
    has_more_chats: bool
    hits: list[Hit]
    count: int
    is_capped: bool
    number: int

    @property
    def has_next(self) -> bool:
        return self.count > self.number * MESSAGES_PER_PAGE


def search_chats(user: User, text: str, *, page: int = 1) -> Results:
    """Messages with the words and, on the first page, chats with the words in their names."""
    terms = search.parse(text)
    chats = _named(user, terms or [search.Term(text)]) if page == 1 else []
    found = _mentioning(user, terms) if terms else []
    count = min(len(found), MESSAGES_COUNTED)
    start = (page - 1) * MESSAGES_PER_PAGE
    messages = _read(found[start : min(start + MESSAGES_PER_PAGE, count)])
    pattern = matching(terms)
    return Results(
        chats=chats[:CHATS_SHOWN],
        has_more_chats=len(chats) > CHATS_SHOWN,
        hits=[Hit(message, _snippet(message, pattern)) for message in messages],
        count=count,
        is_capped=len(found) > MESSAGES_COUNTED,
        number=page,
    )


def _named(user: User, terms: Sequence[search.Term]) -> list[Session]:
    own = Session.objects.for_user(user)
    chats = own.exclude(pk__in=own.unnamed())
    for term in terms:
        chats = chats.filter(_is_in_name(term.text))
    return list(chats.select_related("agent").order_by("-updated_at", "pk")[: CHATS_SHOWN + 1])


def _is_in_name(text: str) -> Q:
    if connection.vendor == "sqlite":  # its LIKE ignores the case of ASCII only
        return Q(name__iregex=re.escape(text))
    return Q(name__icontains=text)


def _mentioning(user: User, terms: Sequence[search.Term]) -> list[UUID]:
    """Only ids: not all are shown, and most of the time would go into reading the texts."""
    visible = Message.objects.for_user(user).chosen().filter(role__in=VISIBLE_ROLES)
    # Not by position as well: the database would have to search all of a long chat first.
    latest = visible.mentioning(terms).order_by("-session__updated_at")
    rows = list(latest.values_list("session", "position", "pk")[: MESSAGES_COUNTED + 1])
    places = {chat: place for place, chat in enumerate(dict.fromkeys(row[0] for row in rows))}
    return [pk for _, _, pk in sorted(rows, key=lambda row: (places[row[0]], row[1]))]


def _read(ids: Sequence[UUID]) -> list[Message]:
    """The messages in that order, without those that have just been deleted."""
    chats = Prefetch("session", Session.objects.with_opening())
    messages = (
        Message.objects.select_related("agent")
        .prefetch_related(chats)
        .only("position", "role", "text_content", "created_at", "session", "agent")
    )
    by_id = messages.in_bulk(ids)
    return [by_id[pk] for pk in ids if pk in by_id]


def _snippet(message: Message, pattern: re.Pattern[str]) -> list[Segment]:
    return excerpt(
        message.text_content, pattern, as_line=lambda text: plain_line(text, message.role)
    )
