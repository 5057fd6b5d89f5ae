"""The states of a run: how an answer is going, or how it ended.

The runs themselves belong to agents_app; a session stores the status of its latest one.
"""

from django.db import models


class RunStatus(models.TextChoices):
    """The states of an AgentRun."""

    PENDING = "pending"  # committed; no worker has reported progress yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
