"""Looks up a user's own chats, and runs and messages in them. A miss raises ChatNotFound."""

from uuid import UUID

from django.contrib.auth.models import User

from agents_app.chats.errors import ChatNotFound, ChatTrashed
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet


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
    """A run in one of the user's own sessions, with the session's agent. Raises ChatNotFound."""
    own = AgentRun.objects.for_user(user).select_related("session__agent", "message")
    run = own.filter(pk=run_id, session=session_id).first()
    if run is None:
        raise ChatNotFound("There is no such answer.")
    return run


def get_question(*, user: User, session_id: UUID, message_id: UUID) -> Message:
    """A user's message on the chosen line of one of their sessions, with the session's agent.

    Raises ChatNotFound.
    """
    message = (
        Message.objects.for_user(user)
        .chosen()
        .filter(pk=message_id, session=session_id, role=Message.Role.USER)
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


def lock_sessions(chats: SessionQuerySet) -> SessionQuerySet:
    """These sessions, locked until the transaction ends, in an order that avoids deadlocks."""
    ids = list(chats.select_for_update().order_by("pk").values_list("pk", flat=True))
    return Session.objects.filter(pk__in=ids)
