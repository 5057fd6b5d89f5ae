"""Finds the run of a repeated request: a form submitted twice, or a program's second attempt."""

from uuid import UUID

from django.contrib.auth.models import User

from agents_app.chats.errors import AgentUnavailable, AlreadyUsed
from agents_app.chats.lookups import chat_deleted
from agents_app.models import AgentRun
from sessions_app.models import Message


def find_first_run(
    message_id: UUID,
    text: str,
    user: User,
    *,
    agent_id: int | None,
    session_id: UUID | None = None,
    digest: str = "",
) -> AgentRun:
    """The run that the first request with this message id has created.

    Raises AlreadyUsed if that was another request, and ChatNotFound if its chat has been deleted.
    """
    message = Message.objects.filter(pk=message_id).first()
    if message is None:
        # The integrity error was another one: the agent has just been deleted.
        raise AgentUnavailable
    runs = AgentRun.objects.owned_by(user).requested_by(user.pk).filter(message=message)
    first = runs.select_related("session").order_by("created_at").first()
    is_same = (
        message.text_content == text
        and agent_id in {None, message.agent_id}
        and session_id in {None, message.session_id}
    )
    # Processes of the previous version store no digest.
    if first is None or not is_same or first.request_digest not in {"", digest}:
        raise AlreadyUsed("Another message was sent with this form. Send it again.")
    if first.session.is_trashed:
        raise chat_deleted()
    return first
