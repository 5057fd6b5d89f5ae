"""Who answers: Agent."""

from django.db import models
from django.utils import timezone


class Agent(models.Model):
    """A model with a system prompt that people can chat with."""

    name = models.CharField(unique=True)
    type = models.CharField(default="simple")
    model = models.CharField(
        blank=True,
        default="",
        help_text="A pydantic-ai model string such as openai:gpt-4.1-mini, "
        "or empty for the default (AGENT_MODEL).",
    )
    description = models.TextField(blank=True, default="")
    system_prompt = models.TextField(blank=True, default="")
    config = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "agents"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
