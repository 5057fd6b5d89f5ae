"""Agents, their pictures, and the cache table.

The models of the app's packages can be imported from here, too.
"""

from zlib import crc32

from django.db import models
from django.utils import timezone

from agents_app.accounts.models import (
    ApiKey,
    ApiKeyRequests,
    ExternalUser,
    ImportedUser,
    Preferences,
    Scope,
    Theme,
)
from agents_app.chats.feedback_models import Feedback
from agents_app.programs.queue_models import Ticket
from agents_app.querysets import AgentQuerySet
from agents_app.runs.models import AgentRun, RunFacts, WorkerProcess
from sessions_app.run_statuses import RunStatus

__all__ = [
    "Agent",
    "AgentPicture",
    "AgentRun",
    "ApiKey",
    "ApiKeyRequests",
    "CacheEntry",
    "ExternalUser",
    "Feedback",
    "ImportedUser",
    "Preferences",
    "RunFacts",
    "RunStatus",
    "Scope",
    "Theme",
    "Ticket",
    "WorkerProcess",
]


class Agent(models.Model):
    """A model with a system prompt that people can chat with."""

    name = models.CharField(unique=True)
    display_name = models.CharField(
        blank=True, default="", help_text="What people are shown; the name if empty."
    )
    type = models.CharField(default="simple")
    model = models.CharField(
        blank=True,
        default="",
        help_text="A pydantic-ai model string such as openai:gpt-4.1-mini, "
        "or empty for the default (AGENT_MODEL).",
    )
    description = models.TextField(blank=True, default="")
    starter_prompts = models.TextField(
        blank=True, default="", help_text="Prompts to begin a chat with, one per line."
    )
    # The digest of its AgentPicture's content, or empty: part of the picture's URL.
    picture_digest = models.CharField(blank=True, default="", editable=False)
    system_prompt = models.TextField(blank=True, default="")
    config = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        db_table = "agents"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def shown_name(self) -> str:
        """The name to show to people."""
        return self.display_name or self.name

    @property
    def starters(self) -> list[str]:
        """The prompts that people can begin a chat with."""
        return [line.strip() for line in self.starter_prompts.splitlines() if line.strip()]

    @property
    def initial(self) -> str:
        """The letter shown for an agent without a picture."""
        name = self.shown_name.strip()
        return next(filter(str.isalnum, name), name[:1]).upper()[:1]

    @property
    def hue(self) -> int:
        """One of eight colours, always the same for a name."""
        return crc32(self.name.encode(errors="replace")) % 8


class AgentPicture(models.Model):
    """An agent's picture, in a separate table so that reading agents does not load pictures."""

    agent = models.OneToOneField(
        Agent, on_delete=models.CASCADE, primary_key=True, related_name="picture"
    )
    media_type = models.CharField()
    content = models.BinaryField()

    class Meta:
        db_table = "agent_pictures"

    def __str__(self) -> str:
        return f"Picture of agent {self.pk}"


class CacheEntry(models.Model):
    """The table of Django's database cache; a model so that a migration creates it."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "cache_entries"

    def __str__(self) -> str:
        return self.cache_key
