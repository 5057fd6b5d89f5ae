"""The writer's half of the protocol: the only way a message gets into a session.

A foreign key alone does not protect a message: Django declares it DEFERRABLE INITIALLY
DEFERRED, so an open transaction that has inserted a message holds no lock on its session, and
the writer's COMMIT fails if a cleanup removes the session before that. So the writer locks the
session's row first. A cleanup skips locked rows, and its second check sees the message once
the writer has committed. See sessions_app.cleanup.batches for the other half.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from sessions_app.models import Message, Session

_NOTHING: Mapping[str, Any] = {}


class SessionGone(Exception):
    """The session does not exist, so the message cannot be stored."""

    def __init__(self, session_id: UUID) -> None:
        super().__init__(f"Session {session_id} does not exist any more.")
        self.session_id = session_id


def append_messages(
    messages: Iterable[Message],
    *,
    touch: bool = True,
    session_values: Mapping[str, Any] = _NOTHING,
) -> list[Message]:
    """Store unsaved messages, each at the end of its session, in the order given.

    Sets each message's `position`. Runs in one transaction: all are stored, or none. With
    `touch`, the sessions' last activity becomes now, and the same statement writes
    `session_values` to their rows; an import, which has its own times, passes False.

    Raises SessionGone when a session does not exist.
    """
    unsaved = sorted(messages, key=lambda message: message.session_id)
    by_session: dict[UUID, list[Message]] = {}
    for message in unsaved:
        by_session.setdefault(message.session_id, []).append(message)
    # Without a savepoint: an outer transaction already stores all of it or nothing.
    with transaction.atomic(savepoint=False):
        _lock(list(by_session), touch=touch, values=session_values)
        last_positions = dict(
            Message.objects.filter(session__in=by_session)
            .values_list("session_id")
            .annotate(last=Max("position"))
        )
        for session_id, group in by_session.items():
            first = last_positions.get(session_id, 0) + 1
            for position, message in enumerate(group, start=first):
                message.position = position
        return Message.objects.bulk_create(unsaved, batch_size=500)


def insert_first_messages(messages: Sequence[Message]) -> None:
    """Store the first messages of a session that the same transaction has inserted.

    No other transaction can see the session yet, so there is nothing to lock or to look up.
    """
    for position, message in enumerate(messages, start=1):
        message.position = position
    Message.objects.bulk_create(messages, batch_size=500)


def append_message(message: Message, *, session_values: Mapping[str, Any] = _NOTHING) -> Message:
    """Store one unsaved message at the end of its session; see `append_messages`."""
    return append_messages([message], session_values=session_values)[0]


def _lock(session_ids: list[UUID], *, touch: bool, values: Mapping[str, Any]) -> None:
    """Lock the rows of these sessions until the transaction ends.

    The ids are sorted, so that two writers cannot deadlock.
    """
    if touch:
        now = timezone.now()
        for session_id in session_ids:
            if not Session.objects.filter(pk=session_id).update(updated_at=now, **values):
                raise SessionGone(session_id)
    else:
        rows = Session.objects.filter(pk__in=session_ids).order_by("pk").select_for_update()
        missing = set(session_ids) - set(rows.values_list("pk", flat=True))
        if missing:
            raise SessionGone(min(missing))
