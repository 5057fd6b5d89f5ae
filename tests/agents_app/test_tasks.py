"""The periodic jobs, as workers do them."""

import subprocess
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app

from agents_app.chats import trash
from agents_app.tasks import empty_trash
from sessions_app.models import Session
from tests.agents_app.chats import answered, make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
]


def test_a_worker_empties_the_trash(manage: Callable[..., subprocess.Popen[str]]) -> None:
    user = make_user()
    old, young, kept = (answered(user) for _ in range(3))
    for chat_session in (old, young):
        trash.trash_session(chat_session)
    long_ago = timezone.now() - timedelta(days=settings.TRASH_DAYS, minutes=1)
    Session.objects.filter(pk=old.pk).update(trashed_at=long_ago)

    app.configure_task("empty_trash", queue="maintenance").defer(timestamp=0)
    worker = manage("procrastinate", "worker", "--one-shot", "--queues=maintenance")
    _, errors = worker.communicate(timeout=60)

    assert worker.returncode == 0, errors
    assert set(Session.objects.all()) == {young, kept}


def test_workers_empty_the_trash_every_hour() -> None:
    [periodic] = [
        periodic
        for periodic in app.periodic_registry.periodic_tasks.values()
        if periodic.task is empty_trash
    ]
    assert periodic.cron == "23 * * * *"
