"""What a cleanup may remove (Target), and how it removes it (Options)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sessions_app.querysets import ANY_TIME, RemovalPlan, Window

DEFAULT_BATCH_SIZE = 1000
MAX_BATCH_SIZE = 10_000
MAX_WORKERS = 16


@dataclass(frozen=True)
class Target:
    """Which removable sessions are removed: those created in `window`, `limit` at most."""

    window: Window = ANY_TIME
    limit: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a limit below 1."""
        if self.limit is not None and self.limit < 1:
            raise ValueError("The limit must be at least 1.")

    def expected(self, plan: RemovalPlan) -> int:
        """How many sessions are removed when nothing stops the cleanup."""
        return plan.removable if self.limit is None else min(self.limit, plan.removable)


@dataclass(frozen=True)
class Options:
    """How sessions are removed: `batch_size` per transaction, by `workers` in parallel."""

    max_seconds: float | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    workers: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise ValueError(f"The batch size must be between 1 and {MAX_BATCH_SIZE}.")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"The number of workers must be between 1 and {MAX_WORKERS}.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError("The number of seconds must be more than 0.")


def as_criteria(target: Target, options: Options) -> dict[str, Any]:
    """Both as CleanupRun.criteria records them, without the values that are not set."""
    values = {
        "created_after": _isoformat(target.window.created_after),
        "created_before": _isoformat(target.window.created_before),
        "limit": target.limit,
        "max_seconds": options.max_seconds,
        "batch_size": options.batch_size,
        "workers": options.workers,
    }
    return {name: value for name, value in values.items() if value is not None}


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
