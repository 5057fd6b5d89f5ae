"""A user's chats: looked up, named, pinned, moved to the trash and back, deleted.

Everything here is synchronous, takes keyword arguments, and raises a ChatError.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents_app.chat_errors import ChatNotFound, ChatTrashed
from agents_app.chat_validation import UNNAMED, check_name, title_from_message
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet

DELETED_AT_ONCE = 20  # sessions, in one transaction


def display_name(chat_session: Session) -> str:
    """The name that people are shown; `opening` is annotated by `with_opening()`."""
    opening = getattr(chat_session, "opening", "")
    return title_from_message(opening) if opening else chat_session.name or UNNAMED


def rename_session(*, user: User, session_id: UUID, name: str) -> None:
    """Give a chat another name; no cleanup removes it then. Raises ChatNotFound or InvalidName."""
    chat_session = get_session(user=user, session_id=session_id)
    check_name(name)
    own = Session.objects.for_user(user).filter(pk=chat_session.pk)
    if not own.update(name=name, keep=True):
        raise chat_deleted()


def pin_sessions(*, user: User, session_ids: Collection[UUID], pinned: bool) -> int:
    """Put chats at the top of the list, or back in their places; returns how many."""
    with transaction.atomic():
        chats = _locked(Session.objects.for_user(user).filter(pk__in=session_ids))
        return chats.update(pinned_at=timezone.now() if pinned else None)


def trash_session(*, user: User, session_id: UUID) -> datetime:
    """Move a chat to the trash; returns since when it is there. Raises ChatNotFound."""
    get_session(user=user, session_id=session_id)
    count, trashed_at = trash_sessions(user=user, session_ids=[session_id])
    if not count:
        raise chat_deleted()
    return trashed_at


def trash_sessions(*, user: User, session_ids: Collection[UUID]) -> tuple[int, datetime]:
    """Move chats to the trash together; returns how many, and since when they are there.

    An answer that is being written goes on, and is there if the chat is restored.
    """
    trashed_at = timezone.now()
    with transaction.atomic():
        chats = _locked(Session.objects.for_user(user).filter(pk__in=session_ids))
        return chats.update(trashed_at=trashed_at), trashed_at


def restore_session(*, user: User, session_id: UUID) -> None:
    """Take a chat out of the trash. Raises ChatNotFound."""
    if not Session.objects.trash_of(user).filter(pk=session_id).update(trashed_at=None):
        raise ChatNotFound("There is no such chat in your trash.")


def restore_sessions(*, user: User, trashed_at: datetime) -> int:
    """Take the chats out of the trash that were moved there together; returns how many."""
    with transaction.atomic():
        chats = _locked(Session.objects.trash_of(user).filter(trashed_at=trashed_at))
        return chats.update(trashed_at=None)


def delete_forever(*, user: User, session_id: UUID) -> Session:
    """Delete a chat of the trash, with its messages and runs; returns what it was.

    Raises ChatNotFound.
    """
    chat_session = get_trashed(user=user, session_id=session_id)
    if not _delete_batch(Session.objects.trash_of(user).filter(pk=session_id)):
        raise chat_deleted()
    return chat_session


def empty_trash(
    *, trashed_before: datetime, user: User | None = None, limit: int | None = None
) -> int:
    """Delete what the trash, one user's or everybody's, has had since before a time.

    In batches, each a transaction; returns how many. A chat that is locked, as by its user who
    restores it, is left for the next time.
    """
    trash = Session.objects.trash_of(user) if user else Session.objects.trashed()
    expired = trash.filter(trashed_at__lt=trashed_before).order_by("trashed_at", "pk")
    deleted = 0
    while limit is None or deleted < limit:
        count = _delete_batch(expired[:DELETED_AT_ONCE], skip_locked=True)
        deleted += count
        if not count:
            break
    return deleted


def trash_expiry() -> datetime:
    """What has been in the trash since before this is to be deleted."""
    return timezone.now() - timedelta(days=settings.TRASH_DAYS)


def get_session(*, user: User, session_id: UUID) -> Session:
    """One of the user's own sessions, with its agent. Raises ChatNotFound, or ChatTrashed."""
    chat_session = (
        Session.objects.for_user(user)
        .with_opening()
        .select_related("agent")
        .filter(pk=session_id)
        .first()
    )
    if chat_session is None:
        if Session.objects.trash_of(user).filter(pk=session_id).exists():
            raise ChatTrashed("This chat is in your trash.")
        raise ChatNotFound("There is no such chat.")
    return chat_session


def get_trashed(*, user: User, session_id: UUID) -> Session:
    """One of the sessions in the user's trash. Raises ChatNotFound."""
    trash = Session.objects.trash_of(user).with_opening()
    chat_session = trash.filter(pk=session_id).first()
    if chat_session is None:
        raise ChatNotFound("There is no such chat in your trash.")
    return chat_session


def get_run(*, user: User, session_id: UUID, run_id: UUID) -> AgentRun:
    """A run of one of the user's own sessions, with that and its agent. Raises ChatNotFound."""
    run = (
        AgentRun.objects.filter(
            pk=run_id, session=session_id, session__user=user, session__trashed_at=None
        )
        .select_related("session__agent", "message")
        .first()
    )
    if run is None:
        raise ChatNotFound("There is no such answer.")
    return run


def get_question(*, user: User, session_id: UUID, message_id: UUID) -> Message:
    """A user's message on the chosen line of one of their sessions, with that and its agent.

    Raises ChatNotFound.
    """
    message = (
        Message.objects.chosen()
        .filter(pk=message_id, session=session_id, role=Message.Role.USER)
        .filter(session__user=user, session__trashed_at=None)
        .select_related("session__agent")
        .first()
    )
    if message is None:
        raise ChatNotFound("The chat shows no such message now. Reload the page.")
    return message


def lock_session(chat_session: Session) -> None:
    """Lock the session's row until the transaction ends. Raises ChatNotFound."""
    if not Session.objects.select_for_update().filter(pk=chat_session.pk).exists():
        raise chat_deleted()


def chat_deleted() -> ChatNotFound:
    return ChatNotFound("This chat has been deleted.")


def _locked(chats: SessionQuerySet) -> SessionQuerySet:
    """These sessions, locked until the transaction ends, in an order that avoids deadlocks."""
    ids = list(chats.select_for_update().order_by("pk").values_list("pk", flat=True))
    return Session.objects.filter(pk__in=ids)


def _delete_batch(chats: SessionQuerySet, *, skip_locked: bool = False) -> int:
    """Delete sessions with their messages and runs; returns how many."""
    with transaction.atomic():
        # Locked first: concurrent writers find that they are gone.
        locked = chats.select_for_update(skip_locked=skip_locked)
        ids = list(locked.values_list("pk", flat=True))
        AgentRun.objects.filter(session__in=ids).delete()
        Message.objects.filter(session__in=ids).delete()
        Session.objects.filter(pk__in=ids).delete()
    return len(ids)
