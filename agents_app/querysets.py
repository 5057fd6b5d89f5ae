"""The vocabulary: what agents and their runs can be asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

if TYPE_CHECKING:
    from agents_app.models import Agent, AgentRun  # noqa: F401 - quoted below


class AgentQuerySet(models.QuerySet["Agent"]):
    """Agents, in the product's words."""

    def active(self) -> Self:
        """Those that a chat can be started with."""
        return self.filter(active=True)


class AgentRunQuerySet(models.QuerySet["AgentRun"]):
    """Runs, in the product's words. Heartbeats are made and compared in the database's time."""

    def active(self) -> Self:
        """Those that are being worked on, or wait for it."""
        return self.filter(status__in=["pending", "running"])

    def silent(self) -> Self:
        """The active ones whose process has given no sign of life for the heartbeat timeout.

        It has died, unless the database was away or locked meanwhile.
        """
        timeout = timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
        return self.active().filter(heartbeat_at__lt=Now() - timeout)

    def keep_alive(self, run_ids: Collection[UUID], texts: Mapping[UUID, str]) -> set[UUID]:
        """Give a sign of life for active runs, and save the texts of some that have grown.

        Returns the ids of those for which it was done; the others have ended, or are locked
        by somebody who is about to change them.
        """
        with transaction.atomic():
            active = self._locked(self.active().filter(pk__in=run_ids))
            changes: dict[str, Any] = {"status": "running", "heartbeat_at": Now()}
            if cases := [When(pk=pk, then=Value(texts[pk])) for pk in active if pk in texts]:
                changes["text"] = Case(*cases, default=F("text"), output_field=models.TextField())
            self.filter(pk__in=active).update(**changes)
        return active

    def ended(self, run_ids: Collection[UUID]) -> dict[UUID, str | None]:
        """Those of the runs that are not active any more: the status, None for one that is gone."""
        states = dict(self.filter(pk__in=run_ids).values_list("pk", "status"))
        active = {pk for pk, status in states.items() if status in {"pending", "running"}}
        return {pk: states.get(pk) for pk in run_ids if pk not in active}

    def mark_presumed_dead(self) -> int:
        """Mark the silent ones of these as interrupted; returns how many there were.

        For the one who knows that the database was there all the time (agents_app.liveness).
        """
        with transaction.atomic():
            return self.filter(pk__in=self._locked(self.silent())).update(
                status="interrupted",
                finished_at=F("heartbeat_at"),
                error="The server stopped while it was answering.",
            )

    def _locked(self, runs: Self) -> set[UUID]:
        """The ids of those runs that nobody else has locked, which are locked now.

        One row that is locked for long, by a deletion or by staff, must not hold up the others.
        """
        locked = runs.select_for_update(skip_locked=True, no_key=True)
        return set(locked.values_list("pk", flat=True))
