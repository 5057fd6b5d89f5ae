"""Finds what a path or a body refers to: an agent by name or id, a session by id or name."""

import re
from uuid import UUID

from django.contrib.auth.models import User

from agents_app.chats.errors import AgentUnavailable, ChatNotFound
from agents_app.chats.lookups import get_session
from agents_app.models import Agent
from agents_app.programs.named_sessions import find_named
from sessions_app.models import Session
from sessions_app.storable import is_storable, parse_id

_LARGEST_ID = 2**63 - 1
_SUFFIX = re.compile(r"[_-]agent\Z")


def find_agent(reference: str) -> Agent:
    """The active agent with this name or id; `name`, `name_agent` and `name-agent` match.

    Raises AgentUnavailable.
    """
    active = Agent.objects.active()
    base = _SUFFIX.sub("", reference)
    names = [reference, base, f"{base}_agent", f"{base}-agent"]
    is_name = is_storable(reference)
    named = {agent.name: agent for agent in active.filter(name__in=names)} if is_name else {}
    found = named.get(reference)
    agent_id = parse_id(reference, largest=_LARGEST_ID)
    if found is None and agent_id is not None:
        found = active.filter(pk=agent_id).first()
    if found is None:
        found = next((named[name] for name in names if name in named), None)
    if found is None:
        raise AgentUnavailable(f"There is no active agent {reference}.")
    return found


def find_session(user: User, reference: str) -> Session:
    """The user's own session with this id, or else this name. Raises ChatNotFound."""
    session_id = parse_uuid(reference)
    if session_id is not None:
        try:
            return get_session(user=user, session_id=session_id)
        except ChatNotFound:
            pass  # it may be a name
    named = find_named(user=user, name=reference)
    if named is None:
        raise ChatNotFound(f"There is no session {reference}.")
    return named


def parse_session_id(text: str) -> UUID:
    """Parse the id of a session, which need not exist. Raises ChatNotFound if it is invalid."""
    session_id = parse_uuid(text)
    if session_id is None:
        raise ChatNotFound(f"There is no session {text}.")
    return session_id


def parse_uuid(text: str) -> UUID | None:
    """Parse a UUID in any notation; returns None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None
