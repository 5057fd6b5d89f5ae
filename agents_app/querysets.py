"""The vocabulary: what agents and their runs can be asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import F
from django.utils import timezone

if TYPE_CHECKING:
    from agents_app.models import Agent, AgentRun  # noqa: F401 - quoted below


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents, in the product's words."""

    def active(self) -> Self:
        """Those that a chat can be started with."""
        return self.filter(active=True)


class AgentRunQuerySet(models.QuerySet["AgentRun"]):
    """Runs, in the product's words."""

    # A run's process writes a heartbeat several times a second; one that has been silent
    # for this long has died.
    SILENCE = timedelta(seconds=15)

    def active(self) -> Self:
        """Those that are being worked on, or wait for it."""
        return self.filter(status__in=["pending", "running"])

    def alive(self) -> Self:
        """The active ones whose process gives signs of life."""
        return self.active().filter(heartbeat_at__gte=timezone.now() - self.SILENCE)

    def silent(self) -> Self:
        """The active ones whose process has died, which nobody has noticed yet."""
        return self.active().filter(heartbeat_at__lt=timezone.now() - self.SILENCE)

    def mark_silent_as_interrupted(self) -> int:
        """Mark active runs whose process has died; returns how many there were."""
        return self.silent().update(
            status="interrupted",
            finished_at=F("heartbeat_at"),
            error="The server stopped while it was answering.",
        )
