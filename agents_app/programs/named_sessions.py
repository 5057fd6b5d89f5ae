"""Sessions that programs refer to by name."""

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from agents_app import services
from agents_app.models import Agent, AgentRun
from agents_app.programs.session_queue import send_when_idle
from sessions_app.models import Session
from sessions_app.storable import is_storable


def find_named(*, user: User, name: str) -> Session | None:
    """The user's session with this name; the most recently used one if there are several."""
    if not is_storable(name):
        return None
    named = Session.objects.for_user(user).named(name).select_related("agent")
    return named.order_by("-updated_at", "pk").first()


def send_to_named(
    *, user: User, name: str, agent: Agent, platform: str, wait_seconds: float, **message: Any
) -> AgentRun:
    """Send a message to the user's session with this name, which is created if there is none.

    Concurrent requests create only one. Raises the errors of services.start_session and of
    agents_app.programs.session_queue.send_when_idle.
    """
    chat_session = find_named(user=user, name=name)
    if chat_session is None:
        with transaction.atomic():
            # Locked, so that two requests do not both create it.
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            chat_session = find_named(user=user, name=name)
            if chat_session is None:
                return services.start_session(
                    user=user, agent_id=agent.pk, name=name, platform=platform, **message
                )
    return send_when_idle(
        user=user,
        session_id=chat_session.pk,
        agent_id=agent.pk,
        wait_seconds=wait_seconds,
        **message,
    )
