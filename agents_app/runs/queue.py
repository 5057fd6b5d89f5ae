"""The queue of runs for workers on any machine: jobs of Procrastinate, in PostgreSQL.

A job is deferred on Django's own connection, in the current transaction. Workers bypass a pooler:
they need LISTEN, which a pooler in transaction mode does not pass on (PgBouncer manual, "SQL
feature map for pooling modes").
"""

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from procrastinate import App
from procrastinate.connector import BaseAsyncConnector
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.contrib.django.utils import connector_params

from agents_app.models import AgentRun
from agents_app.querysets import AgentRunQuerySet, heartbeat_timeout

ANSWER = "answer"
QUEUE = "answers"


def defer(run: AgentRun) -> None:
    """Queue the job of a new run; it is committed with the current transaction."""
    job = app.configure_task(ANSWER, queue=QUEUE, lock=_slot(run.user_id))
    job.defer(run_id=str(run.pk))


def _slot(user_id: int | None) -> str:
    """The user's slot with the fewest jobs: jobs with the same lock run in turn."""
    slots = [f"user {user_id} slot {number}" for number in range(settings.AGENT_RUNS_PER_USER)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lock, count(*) FROM procrastinate_jobs"
            " WHERE lock = ANY(%s) AND status IN ('todo', 'doing') GROUP BY lock",
            [slots],
        )
        jobs = dict(cursor.fetchall())
    return min(slots, key=lambda slot: jobs.get(slot, 0))


def fill_free_slots() -> None:
    """Move the jobs that have waited longest behind others to free slots of their users.

    A slot can become free while another one has several jobs, and two jobs that are queued at the
    same time can choose the same slot.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH active AS MATERIALIZED (
                SELECT id, lock, split_part(lock, ' slot ', 1) AS owner,
                       row_number() OVER (PARTITION BY lock ORDER BY status DESC, id) AS place
                FROM procrastinate_jobs
                WHERE task_name = %(answer)s AND status IN ('todo', 'doing') AND lock IS NOT NULL
                  -- One process at a time: two would give the same slot away.
                  AND (SELECT pg_try_advisory_xact_lock(hashtext('free slots')))
            ), waiting AS (
                SELECT id, owner, row_number() OVER (PARTITION BY owner ORDER BY id) AS number
                FROM active WHERE place > 1
            ), free AS (
                SELECT owner, slot, row_number() OVER (PARTITION BY owner ORDER BY slot) AS number
                FROM (SELECT DISTINCT owner FROM waiting) AS owners,
                     generate_series(0, %(last)s) AS numbers (n),
                     LATERAL (SELECT owner || ' slot ' || n) AS named (slot)
                WHERE slot NOT IN (SELECT lock FROM active)
            )
            UPDATE procrastinate_jobs AS job SET lock = free.slot
            FROM waiting JOIN free USING (owner, number)
            WHERE job.id = waiting.id AND job.status = 'todo'
            """,
            {"answer": ANSWER, "last": settings.AGENT_RUNS_PER_USER - 1},
        )


def requeue_presumed_dead() -> int:
    """Requeue the jobs that nobody works on; returns their number.

    The process that claimed the run is presumed dead; or none has claimed it, long after a worker
    fetched the job; or the run has ended, but the worker that had to report this is presumed dead.

    To be called only if the database is known to have been available throughout the timeout
    (agents_app.runs.liveness).
    """
    values: dict[str, Any] = {
        "active": [str(status) for status in AgentRun.ACTIVE],
        "answer": ANSWER,
        "timeout": heartbeat_timeout(),
    }
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE procrastinate_jobs
            SET status = 'todo', attempts = attempts + 1, scheduled_at = NULL
            WHERE id IN (
                SELECT job.id FROM procrastinate_jobs AS job
                LEFT JOIN agent_runs AS run
                  ON run.id = (job.args ->> 'run_id')::uuid AND run.status = ANY(%(active)s)
                WHERE job.status = 'doing' AND job.task_name = %(answer)s
                  AND NOT EXISTS (
                    SELECT FROM procrastinate_events AS event
                    WHERE event.job_id = job.id AND event.type = 'started'
                      AND event.at >= now() - %(timeout)s)
                  AND NOT EXISTS (
                    SELECT FROM worker_processes AS process
                    WHERE process.id = run.process_id
                      AND process.heartbeat_at >= now() - %(timeout)s)
                  AND (run.id IS NOT NULL OR NOT EXISTS (
                    SELECT FROM procrastinate_workers AS worker
                    WHERE worker.id = job.worker_id
                      AND worker.last_heartbeat >= now() - %(timeout)s))
                FOR UPDATE OF job SKIP LOCKED
            )
            """,
            values,
        )
        return int(cursor.rowcount)


def without_job(runs: AgentRunQuerySet) -> AgentRunQuerySet:
    """Those that no worker will take over, such as those of a web process (ANSWERS_IN=web)."""
    jobs = ProcrastinateJob.objects.annotate(run=KT("args__run_id")).filter(
        task_name=ANSWER, status__in=["todo", "doing"], run=Cast(OuterRef("pk"), TextField())
    )
    return runs.filter(~Exists(jobs))


class QueueConnector(DjangoConnector):
    """Procrastinate's, whose workers connect to DATABASE_DIRECT_URL if it is set."""

    def get_worker_connector(self) -> BaseAsyncConnector:
        from agents_app.runs.worker_connector import WorkerConnector

        if settings.DATABASE_DIRECT_URL:
            return WorkerConnector(conninfo=settings.DATABASE_DIRECT_URL)
        return WorkerConnector(kwargs=connector_params(self.alias))


def configure(app: App) -> None:
    """Called by Procrastinate when its app is ready (PROCRASTINATE_ON_APP_READY)."""
    app.connector = app.job_manager.connector = QueueConnector(alias="default")
