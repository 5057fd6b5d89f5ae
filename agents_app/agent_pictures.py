"""Pictures of agents: which files are accepted, and how they are stored."""

from hashlib import sha256

from django.db import transaction

from agents_app.models import Agent, AgentPicture

MAX_BYTES = 256 * 1024
# By the first bytes of the content: a file's name and declared type cannot be trusted. SVG is left
# out, since it can contain scripts.
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
MEDIA_TYPES = [*_SIGNATURES.values(), "image/webp"]


class InvalidPicture(ValueError):
    """The file cannot be an agent's picture; the text says why."""


def check_picture(content: bytes) -> str:
    """The media type of a picture. Raises InvalidPicture."""
    if len(content) > MAX_BYTES:
        raise InvalidPicture(f"A picture can have at most {MAX_BYTES // 1024} KB.")
    for signature, media_type in _SIGNATURES.items():
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise InvalidPicture("Choose a PNG, JPEG or WebP picture.")


def store_picture(agent: Agent, content: bytes) -> None:
    """Set a stored agent's picture, replacing any other. Raises InvalidPicture."""
    values = {"media_type": check_picture(content), "content": content}
    with transaction.atomic():
        AgentPicture.objects.update_or_create(agent=agent, defaults=values)
        _set_digest(agent, sha256(content).hexdigest()[:32])


def remove_picture(agent: Agent) -> None:
    """Remove an agent's picture, if it has one."""
    with transaction.atomic():
        AgentPicture.objects.filter(agent=agent).delete()
        _set_digest(agent, "")


def _set_digest(agent: Agent, digest: str) -> None:
    agent.picture_digest = digest
    agent.save(update_fields=["picture_digest"])
