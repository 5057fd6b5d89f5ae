"""The jobs of the workers (`manage.py procrastinate worker`): answers, and keeping the queue and
the trash.

Procrastinate, which is installed on PostgreSQL only, imports this module.
"""

from uuid import UUID

from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app

from agents_app.chats import trash
from agents_app.runs import dispatch
from agents_app.runs.queue import ANSWER, QUEUE

# A worker is presumed dead, and its runs are taken over, after so long without a heartbeat.
STALLED_SECONDS = 10


# Only a worker that is told to exit raises: another one answers at once.
@app.task(name=ANSWER, queue=QUEUE, retry=RetryStrategy())
async def answer(*, run_id: str) -> None:
    """Answer one run."""
    await dispatch.work_on(UUID(run_id))


@app.periodic(cron="* * * * * */5")
@app.task(name="take_over", queue="maintenance", queueing_lock="take_over", pass_context=True)
async def take_over(context: JobContext, timestamp: int) -> None:
    """Queue the jobs of workers that are presumed dead anew."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        await manager.retry_job(job)


@app.periodic(cron="*/10 * * * *")
@app.task(name="remove_finished_jobs", queue="maintenance", pass_context=True)
async def remove_finished_jobs(context: JobContext, timestamp: int) -> None:
    """Keep the queue's table from growing with the chats."""
    await context.app.job_manager.delete_old_jobs(
        nb_hours=1, include_failed=True, include_cancelled=True, include_aborted=True
    )


@app.periodic(cron="23 * * * *")
@app.task(name="empty_trash", queue="maintenance", queueing_lock="empty_trash")
def empty_trash(timestamp: int) -> None:
    """Delete the chats that have been in the trash for TRASH_DAYS."""
    trash.empty_trash(trashed_before=trash.trash_expiry())
