"""Moving a user's own chats to the trash and back, and deleting them for good."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents_app.chats.errors import ChatNotFound
from agents_app.chats.lookups import chat_deleted, lock_sessions
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet

DELETE_BATCH_SIZE = 20  # sessions per transaction
_EXPIRED_BATCH_SIZE = 100  # chats of a user, whenever they delete something
_MOVE_BATCH_SIZE = 500  # chats per transaction, in and out of the trash


def trash_session(chat_session: Session) -> datetime:
    """Move a chat to the trash; returns the time of the move. Raises ChatNotFound."""
    count, trashed_at = _move_to_trash(Session.objects.not_trashed().filter(pk=chat_session.pk))
    if not count:
        raise chat_deleted()
    if chat_session.user:
        _delete_expired(chat_session.user)
    return trashed_at


def trash_sessions(*, user: User, session_ids: Collection[UUID]) -> tuple[int, datetime]:
    """Move chats to the trash together; returns how many, and the time of the move."""
    moved = _move_to_trash(Session.objects.for_user(user).filter(pk__in=session_ids))
    _delete_expired(user)
    return moved


def trash_all(user: User) -> tuple[int, datetime]:
    """Move everything in the user's lists to the trash; returns how many, and the time of the move.

    Chats that are started in the meantime stay.
    """
    trashed_at = timezone.now()
    listed = Session.objects.for_user(user).started_or_named().filter(created_at__lt=trashed_at)
    count = _move_in_batches(listed, trashed_at)
    _delete_expired(user)
    return count, trashed_at


def restore_session(*, user: User, session_id: UUID) -> None:
    """Restore a chat from the trash. Raises ChatNotFound."""
    if not Session.objects.trash_of(user).filter(pk=session_id).update(trashed_at=None):
        raise ChatNotFound("There is no such chat in your trash.")


def restore_sessions(*, user: User, trashed_at: datetime) -> int:
    """Restore the chats that were moved to the trash together; returns how many."""
    return _move_in_batches(Session.objects.trash_of(user).filter(trashed_at=trashed_at), None)


def restore_all(user: User) -> int:
    """Restore all chats in the trash that have not expired; returns how many."""
    kept = Session.objects.trash_of(user).trashed_since(trash_expiry())
    return _move_in_batches(kept, None)


def delete_forever(chat_session: Session) -> None:
    """Delete a chat in the trash, with its messages and runs. Raises ChatNotFound."""
    if not delete_sessions(Session.objects.trashed().filter(pk=chat_session.pk)):
        raise chat_deleted()


def empty_trash(
    *, trashed_before: datetime, user: User | None = None, limit: int | None = None
) -> int:
    """Delete the chats, of one user or of all, that were trashed before a time; returns how many.

    Each batch is a transaction. A locked chat, such as one that its user is restoring, is left for
    the next time.
    """
    trash = Session.objects.trash_of(user) if user else Session.objects.trashed()
    expired = trash.filter(trashed_at__lt=trashed_before).order_by("trashed_at", "pk")
    deleted = 0
    while limit is None or deleted < limit:
        count = delete_sessions(expired[:DELETE_BATCH_SIZE], skip_locked=True)
        deleted += count
        if not count:
            break
    return deleted


def trash_expiry() -> datetime:
    """Chats that were trashed before this time have expired."""
    return timezone.now() - timedelta(days=settings.TRASH_DAYS)


def delete_sessions(chats: SessionQuerySet, *, skip_locked: bool = False) -> int:
    """Delete sessions with their messages and runs; returns how many."""
    with transaction.atomic():
        # Locked first: concurrent writers find that they are gone.
        locked = chats.select_for_update(skip_locked=skip_locked)
        ids = list(locked.values_list("pk", flat=True))
        AgentRun.objects.filter(session__in=ids).delete()
        Message.objects.filter(session__in=ids).delete()
        Session.objects.filter(pk__in=ids).delete()
    return len(ids)


def _move_to_trash(chats: SessionQuerySet) -> tuple[int, datetime]:
    """An answer that is being written continues, and is there when the chat is restored."""
    trashed_at = timezone.now()
    with transaction.atomic():
        return lock_sessions(chats).update(trashed_at=trashed_at), trashed_at


def _move_in_batches(chats: SessionQuerySet, trashed_at: datetime | None) -> int:
    """Move chats into or out of the trash in batches, so that messages to them do not wait long."""
    count = 0
    while ids := list(chats.order_by("pk").values_list("pk", flat=True)[:_MOVE_BATCH_SIZE]):
        with transaction.atomic():
            count += lock_sessions(chats.filter(pk__in=ids)).update(trashed_at=trashed_at)
    return count


def _delete_expired(user: User) -> None:
    """Delete what has expired in the user's trash, so that no worker or cron job is needed."""
    empty_trash(trashed_before=trash_expiry(), user=user, limit=_EXPIRED_BATCH_SIZE)
