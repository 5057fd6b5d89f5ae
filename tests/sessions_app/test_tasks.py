"""The scheduled cleanup, as a worker calls it."""

from datetime import timedelta
from time import time

import pytest
from django.utils import timezone
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.jobs import Job
from pytest_django import Settings

from sessions_app.models import CleanupRun, Session
from sessions_app.tasks import cleanup_sessions
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)


def context() -> JobContext:
    """Of a worker that is not told to exit."""
    job = Job(
        id=1, queue="maintenance", lock=None, queueing_lock=None, task_name="cleanup_sessions"
    )
    return JobContext(app=app, job=job, start_timestamp=time(), abort_reason=lambda: None)


def test_scheduled_cleanup_removes_what_is_old_enough(settings: Settings) -> None:
    settings.CLEANUP_OLDER_THAN = timedelta(days=1)
    young = phantom()
    phantom(created_at=timezone.now() - timedelta(days=2))
    cleanup_sessions(context(), timestamp=0)
    assert Session.objects.get() == young
    run = CleanupRun.objects.get()
    assert (run.source, run.status, run.removed) == ("schedule", "done", 1)
    assert run.criteria["created_before"]


def test_scheduled_cleanup_without_an_age_removes_all(settings: Settings) -> None:
    settings.CLEANUP_OLDER_THAN = None
    phantom()
    cleanup_sessions(context(), timestamp=0)
    assert not Session.objects.exists()
