"""Renaming and pinning a user's own chats."""

from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents_app.chats.lookups import chat_deleted, lock_sessions
from agents_app.chats.validation import check_name
from sessions_app.models import Session


def rename_session(chat_session: Session, *, name: str) -> None:
    """Rename a chat, which also keeps it from cleanups. Raises ChatNotFound or InvalidName."""
    check_name(name)
    own = Session.objects.not_trashed().filter(pk=chat_session.pk)
    if not own.update(name=name, keep=True):
        raise chat_deleted()


def pin_sessions(*, user: User, session_ids: Collection[UUID], pinned: bool) -> int:
    """Pin chats to the top of the list, or unpin them; returns how many."""
    with transaction.atomic():
        chats = lock_sessions(Session.objects.for_user(user).filter(pk__in=session_ids))
        return chats.update(pinned_at=timezone.now() if pinned else None)
