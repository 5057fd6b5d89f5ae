"""What users think of the answers in their chats: one opinion per answer, which may change.

Everything here is synchronous, takes keyword arguments, and raises a ChatError.
"""

from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents_app.chats.errors import ChatError, ChatNotFound
from agents_app.chats.lookups import get_session, lock_session
from agents_app.models import Feedback
from sessions_app.models import Message, Session
from sessions_app.storable import UnstorableText, check_storable

REASON_LENGTH = 2000


class InvalidReason(ChatError):
    """The reason is too long, or holds what cannot be stored."""


def give_feedback(
    *, user: User, session_id: UUID, message_id: UUID, is_good: bool, reason: str | None = None
) -> Message:
    """Record, or change, what the user thinks of an answer; returns its message.

    Without a reason, the previous one is kept as long as the opinion stays the same.

    Raises ChatNotFound or InvalidReason.
    """
    chat_session = get_session(user=user, session_id=session_id)
    _check_reason(reason or "")
    with transaction.atomic():
        lock_session(chat_session)  # so that the answer cannot be deleted in between
        message = _get_answer(chat_session, message_id)
        given = Feedback.objects.filter(message=message).first() or Feedback(message=message)
        if reason is None:
            reason = given.reason if given.is_good == is_good else ""
        given.user, given.is_good, given.reason = user, is_good, reason.strip()
        given.created_at = timezone.now()
        given.save()
    message.feedback = given
    return message


def withdraw_feedback(*, user: User, session_id: UUID, message_id: UUID) -> Message:
    """Delete the feedback on an answer, if there is any; returns its message.

    Raises ChatNotFound.
    """
    chat_session = get_session(user=user, session_id=session_id)
    message = _get_answer(chat_session, message_id)
    Feedback.objects.filter(message=message).delete()
    return message


def _get_answer(chat_session: Session, message_id: UUID) -> Message:
    answers = Message.objects.filter(session=chat_session, role=Message.Role.ASSISTANT)
    message = answers.only("id", "session_id", "position").filter(pk=message_id).first()
    if message is None:
        raise ChatNotFound("There is no such answer.")
    return message


def _check_reason(reason: str) -> None:
    if len(reason) > REASON_LENGTH:
        raise InvalidReason(f"A reason can have at most {REASON_LENGTH:,} characters.")
    try:
        check_storable(reason)
    except UnstorableText as error:
        raise InvalidReason(str(error)) from None
