"""The scheduled cleanup, a job of the workers (`manage.py procrastinate worker`).

Procrastinate, which is installed on PostgreSQL only, imports this module.
"""

import socket

from django.conf import settings
from django.utils import timezone
from procrastinate.contrib.django import app

from sessions_app.cleanup.options import Options, Scope, as_criteria
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import ANY_TIME, Window


@app.task(name="cleanup_sessions", queue="maintenance", queueing_lock="cleanup_sessions")
def cleanup_sessions(timestamp: int) -> None:
    """Remove what is removable and older than CLEANUP_OLDER_THAN."""
    window = ANY_TIME
    if settings.CLEANUP_OLDER_THAN is not None:
        window = Window(created_before=timezone.now() - settings.CLEANUP_OLDER_THAN)
    scope, options = Scope(window), Options()
    run = start_cleanup(
        source=CleanupRun.Source.SCHEDULE,
        started_by=socket.gethostname(),
        matched=Session.objects.removal_plan(window).removable,
        criteria=as_criteria(scope, options),
    )
    run_cleanup(run, Session.objects.all(), scope, options)


# Procrastinate defers a periodic job once, however many workers there are.
if settings.CLEANUP_SCHEDULE:
    app.periodic(cron=settings.CLEANUP_SCHEDULE)(cleanup_sessions)
