"""Runs that programs request, in an existing session or a new one.

The person may be new, too, and is then created with the session.
"""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from agents_app import services
from agents_app.accounts.external_users import (
    UserDescription,
    UserNotFound,
    create_described,
    find_described,
)
from agents_app.chats.errors import ChatNotFound
from agents_app.models import Agent, AgentRun
from agents_app.programs.named_sessions import send_to_named
from agents_app.programs.session_queue import send_when_idle


def request_run(
    *,
    person: User | UserDescription,
    agent: Agent,
    session_id: UUID | None,
    session_name: str | None,
    platform: str,
    wait_seconds: float,
    **message: Any,
) -> AgentRun:
    """Send a message to a session of the person, by id or by name, or to a new one.

    A description is of a person who was not found: they are created with the session, or not at
    all. Raises InvalidEmail, and the errors of services.start_session, send_to_named and
    send_when_idle.
    """
    if isinstance(person, UserDescription):
        if session_id is not None:
            raise ChatNotFound("A new user has no sessions yet.")
        with transaction.atomic():
            created = create_described(person)
            if created is not None:
                return services.start_session(
                    user=created,
                    agent_id=agent.pk,
                    name=session_name,
                    platform=platform,
                    **message,
                )
        # Another request has just created them.
        found = find_described(person)
        if found is None:
            raise UserNotFound("This user has just been deleted.")
        person = found
    if session_id is not None:
        return send_when_idle(
            user=person,
            session_id=session_id,
            agent_id=agent.pk,
            wait_seconds=wait_seconds,
            **message,
        )
    if session_name is not None:
        return send_to_named(
            user=person,
            name=session_name,
            agent=agent,
            platform=platform,
            wait_seconds=wait_seconds,
            **message,
        )
    return services.start_session(user=person, agent_id=agent.pk, platform=platform, **message)
