"""The tasks of workers (`manage.py procrastinate worker`): runs, and maintenance jobs.

Procrastinate, which is installed on PostgreSQL only, imports this module.
"""

from contextlib import suppress
from uuid import UUID

from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException

from agents_app.chats import trash
from agents_app.runs import dispatch
from agents_app.runs.queue import ANSWER, QUEUE

_MAINTENANCE = "maintenance"
# How long a worker is without a heartbeat before its maintenance jobs are taken over.
_STALLED_SECONDS = 60


# It raises only when its worker is about to exit: another worker then answers immediately.
@app.task(name=ANSWER, queue=QUEUE, retry=RetryStrategy())
async def answer_run(*, run_id: str) -> None:
    """Answer one run. agents_app.runs.liveness requeues the runs of dead processes."""
    await dispatch.work_on(UUID(run_id))


@app.periodic(cron="* * * * *")
@app.task(name="take_over", queue=_MAINTENANCE, queueing_lock="take_over", pass_context=True)
async def take_over(context: JobContext, timestamp: int) -> None:
    """Requeue the maintenance jobs of workers that are presumed dead."""
    manager = context.app.job_manager
    stalled = await manager.get_stalled_jobs(
        queue=_MAINTENANCE, seconds_since_heartbeat=_STALLED_SECONDS
    )
    for job in stalled:
        with suppress(ConnectorException):  # another one is queued, or it has just ended
            await manager.retry_job(job)


@app.periodic(cron="*/10 * * * *")
@app.task(name="remove_finished_jobs", queue=_MAINTENANCE, pass_context=True)
async def remove_finished_jobs(context: JobContext, timestamp: int) -> None:
    """Keep the queue's table from growing with the chats."""
    await context.app.job_manager.delete_old_jobs(
        nb_hours=1, include_failed=True, include_cancelled=True, include_aborted=True
    )


@app.periodic(cron="23 * * * *")
@app.task(name="empty_trash", queue=_MAINTENANCE, queueing_lock="empty_trash")
def empty_trash(timestamp: int) -> None:
    """Delete the chats that have been in the trash for TRASH_DAYS."""
    trash.empty_trash(trashed_before=trash.trash_expiry())
