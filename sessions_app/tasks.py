"""The scheduled cleanup, a job of the workers (`manage.py procrastinate worker`).

Procrastinate, which is installed on PostgreSQL only, imports this module.
"""

import socket
import threading

from django.conf import settings
from django.utils import timezone
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted

from sessions_app.cleanup.options import Options, Target, as_criteria
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import ANY_TIME, Window


@app.task(
    name="cleanup_sessions",
    queue="maintenance",
    queueing_lock="cleanup_sessions",
    pass_context=True,
    retry=RetryStrategy(retry_exceptions=[JobAborted]),
)
def cleanup_sessions(context: JobContext, timestamp: int) -> None:
    """Remove what is removable and older than CLEANUP_OLDER_THAN.

    When its worker is told to exit, it stops after a batch, and another worker removes the rest.
    """
    window = ANY_TIME
    if settings.CLEANUP_OLDER_THAN is not None:
        window = Window(created_before=timezone.now() - settings.CLEANUP_OLDER_THAN)
    target, options = Target(window), Options()
    run = start_cleanup(
        source=CleanupRun.Source.SCHEDULE,
        started_by=socket.gethostname(),
        matched=Session.objects.removal_plan(window).removable,
        criteria=as_criteria(target, options),
    )
    stop = threading.Event()

    def stop_when_asked(removed: int) -> None:
        if context.should_abort():
            stop.set()

    run_cleanup(run, Session.objects.all(), target, options, stop=stop, on_removed=stop_when_asked)
    if stop.is_set():
        raise JobAborted


# Procrastinate defers a periodic job once, however many workers there are.
if settings.CLEANUP_SCHEDULE:
    app.periodic(cron=settings.CLEANUP_SCHEDULE)(cleanup_sessions)
