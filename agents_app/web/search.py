"""What a search in one's own chats finds. Only reads: four queries at most.

Looked through are the names of chats and the messages on the chosen line, which are those that
a chat's page shows: other versions are not found, nor is the trash.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Prefetch, Q

from agents_app.web.markdown import plain_text
from sessions_app import search
from sessions_app.models import Message, Session

CHATS_SHOWN = 10
VISIBLE_ROLES = [Message.Role.USER, Message.Role.ASSISTANT]
MESSAGES_PER_PAGE = 20
MESSAGES_COUNTED = 100
_SNIPPET_LENGTH = 240
_BEFORE_MATCH = 60
# Around the match, what is rendered as plain text: markup takes space, too.
_EXCERPT = 600


@dataclass(frozen=True)
class Part:
    """A part of a snippet."""

    text: str
    is_match: bool = False


@dataclass(frozen=True)
class Hit:
    """A message with the words, and where it says them."""

    message: Message
    parts: list[Part]


@dataclass(frozen=True)
class Results:
    """A page of what was found.

    The messages are those of the chats used last, in each of them in their order. No more than
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
    """The user's chats with the words in their name, on the first page, and messages with them."""
    terms = search.parse(text)
    chats = _named(user, terms or [search.Term(text)]) if page == 1 else []
    found = _mentioning(user, terms) if terms else []
    count = min(len(found), MESSAGES_COUNTED)
    start = (page - 1) * MESSAGES_PER_PAGE
    messages = _read(found[start : min(start + MESSAGES_PER_PAGE, count)])
    pattern = re.compile("|".join(term.pattern for term in terms), re.IGNORECASE)
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
    """The ids alone: only some are shown, and most of the time goes into reading texts."""
    own = Message.objects.filter(session__user=user, session__trashed_at=None)
    visible = own.chosen().filter(role__in=VISIBLE_ROLES)
    # Not by position, too: the database would have to look through all of a long chat first.
    latest = visible.mentioning(terms).order_by("-session__updated_at")
    rows = list(latest.values_list("session", "position", "pk")[: MESSAGES_COUNTED + 1])
    places = {chat: place for place, chat in enumerate(dict.fromkeys(row[0] for row in rows))}
    return [pk for _, _, pk in sorted(rows, key=lambda row: (places[row[0]], row[1]))]


def _read(ids: Sequence[UUID]) -> list[Message]:
    """The messages in that order, without those that have been deleted meanwhile."""
    chats = Prefetch("session", Session.objects.with_opening())
    messages = (
        Message.objects.select_related("agent")
        .prefetch_related(chats)
        .only("position", "role", "text_content", "created_at", "session", "agent")
    )
    by_id = messages.in_bulk(ids)
    return [by_id[pk] for pk in ids if pk in by_id]


def _snippet(message: Message, pattern: re.Pattern[str]) -> list[Part]:
    """The first match with its surroundings, in one line, with all matches in them told apart."""
    text = message.text_content
    match = pattern.search(text)
    start = max(0, match.start() - _EXCERPT // 2) if match else 0
    excerpt = text[start : start + _EXCERPT]
    line = " ".join(excerpt.split())
    if message.role == Message.Role.ASSISTANT:
        rendered = plain_text(excerpt)
        if pattern.search(rendered):  # otherwise it stands in the markup, as a link's address does
            line = rendered
    match = pattern.search(line)
    begin = _word_start(line, match.start()) if match else 0
    end = begin + _SNIPPET_LENGTH
    parts = list(_told_apart(line[begin:end], pattern))
    if start or begin:
        parts.insert(0, Part("… "))
    if end < len(line) or start + _EXCERPT < len(text):
        parts.append(Part(" …"))
    return parts


def _word_start(line: str, match_start: int) -> int:
    """Where a word begins, some way before the match."""
    begin = max(0, match_start - _BEFORE_MATCH)
    return line.find(" ", begin, match_start) + 1 or begin if begin else 0


def _told_apart(line: str, pattern: re.Pattern[str]) -> Iterator[Part]:
    end = 0
    for match in pattern.finditer(line):
        yield Part(line[end : match.start()])
        yield Part(match[0], is_match=True)
        end = match.end()
    yield Part(line[end:])
