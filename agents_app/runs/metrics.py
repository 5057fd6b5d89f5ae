"""Metrics of this process's runs, observed where they happen; config.metrics serves them.

A worker serves no pages, so its save lag goes to the database with its heartbeat.
"""

from prometheus_client import Counter, Histogram

_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

_first_token = Histogram(
    "chat_first_token_seconds",
    "Time from the start of a run to the first text of its answer.",
    buckets=_SECONDS,
)
_answer = Histogram(
    "chat_answer_seconds", "Time from the start of a run to its end.", buckets=_SECONDS
)
_ended = Counter("chat_runs_ended", "Runs that this process has ended, by status.", ["status"])
_save_lag = 0.0


def observe_first_token(seconds: float) -> None:
    _first_token.observe(seconds)


def observe_end(status: str, seconds: float) -> None:
    """Record that a run has ended with this status, so many seconds after its start."""
    _answer.observe(seconds)
    _ended.labels(status).inc()


def observe_save_lag(seconds: float) -> None:
    """Record the age of the oldest text in the latest save."""
    global _save_lag
    _save_lag = seconds


def save_lag() -> float:
    return _save_lag
