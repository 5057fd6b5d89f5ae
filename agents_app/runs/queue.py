"""The queue of runs for workers on any machine: jobs of Procrastinate, in PostgreSQL.

A job is deferred on Django's own connection, in the transaction under way. Workers connect
straight to PostgreSQL where a pooler stands in front: they need LISTEN, which a pooler in
transaction mode does not pass on (PgBouncer manual, "SQL feature map for pooling modes").
"""

from django.conf import settings
from procrastinate import App, PsycopgConnector
from procrastinate.connector import BaseAsyncConnector
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from agents_app.models import AgentRun

ANSWER = "answer"
QUEUE = "answers"


def defer(run: AgentRun) -> None:
    """Queue the job of a new run; it is committed with the transaction under way."""
    job = app.configure_task(ANSWER, queue=QUEUE, lock=_lock_of(run))
    job.defer(run_id=str(run.pk))


def _lock_of(run: AgentRun) -> str:
    """One of AGENT_RUNS_PER_USER locks of the user: jobs with the same one run in turn."""
    others = AgentRun.objects.active().filter(user=run.user_id).exclude(pk=run.pk).count()
    return f"user {run.user_id} slot {others % settings.AGENT_RUNS_PER_USER}"


class QueueConnector(DjangoConnector):
    """Procrastinate's, whose workers connect to DATABASE_DIRECT_URL if it is set."""

    def get_worker_connector(self) -> BaseAsyncConnector:
        if settings.DATABASE_DIRECT_URL:
            return PsycopgConnector(conninfo=settings.DATABASE_DIRECT_URL)
        return super().get_worker_connector()


def configure(app: App) -> None:
    """Called by Procrastinate when its app is ready (PROCRASTINATE_ON_APP_READY)."""
    app.connector = app.job_manager.connector = QueueConnector(alias="default")
