"""Queues messages while their session has an active run, and sends them in order of arrival.

Tickets in the database keep the order across processes.
"""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, connections
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from agents_app import services
from agents_app.chats.errors import AlreadyAnswering, ChatNotFound
from agents_app.chats.lookups import get_session
from agents_app.models import AgentRun, Ticket
from agents_app.runs import watching
from sessions_app.models import Message

_PAUSE = 0.1  # seconds between checks of the queue while others come first
_SPARE = timedelta(seconds=10)  # for a request that has timed out to delete its ticket


def send_when_idle(
    *, user: User, session_id: UUID, message_id: UUID, wait_seconds: float, **message: Any
) -> AgentRun:
    """Like services.send_message, but waits while the session has an active run.

    Raises AlreadyAnswering after `wait_seconds`, without storing anything.
    """

    def send() -> AgentRun:
        return services.send_message(
            user=user, session_id=session_id, message_id=message_id, switch=True, **message
        )

    deadline = time.monotonic() + wait_seconds
    is_repeated = Message.objects.filter(pk=message_id).exists()
    if is_repeated or not _tickets(session_id).exists():
        with suppress(AlreadyAnswering):
            return send()
    # Raises ChatNotFound now rather than after the wait.
    get_session(user=user, session_id=session_id)
    ticket = _take_ticket(session_id, wait_seconds)
    try:
        while True:
            if not _tickets(session_id).filter(pk__lt=ticket.pk).exists():
                with suppress(AlreadyAnswering):
                    return send()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise AlreadyAnswering(
                    "An answer is still being written in this session. Try again later."
                )
            _wait_until_idle(session_id, remaining)
    finally:
        ticket.delete()


def _tickets(session_id: UUID) -> QuerySet[Ticket]:
    return Ticket.objects.filter(session=session_id, expires_at__gt=Now())


def _take_ticket(session_id: UUID, wait_seconds: float) -> Ticket:
    expires_at = timezone.now() + timedelta(seconds=wait_seconds) + _SPARE
    try:
        return Ticket.objects.create(session_id=session_id, expires_at=expires_at)
    except IntegrityError:
        raise ChatNotFound("This session has been deleted.") from None


def _wait_until_idle(session_id: UUID, seconds: float) -> None:
    """Wait for the active run to end, or at most so many seconds."""
    active = AgentRun.objects.active().filter(session=session_id)
    run_id = active.values_list("pk", flat=True).first()
    if run_id is None:
        connections.close_all()  # hold none while waiting
        time.sleep(min(_PAUSE, seconds))
    else:
        watching.wait_in_thread(run_id, seconds)
