"""Watchers of runs of other processes, with and without notifications."""

import asyncio
import os
import socket
import time
from contextlib import closing

import pytest
from django.db import connection
from pytest_django import Settings

from agents_app.agents import AgentFailed
from agents_app.models import AgentRun
from agents_app.querysets import PROGRESS_CHANNEL, Progress
from agents_app.runs import dispatch, listen
from agents_app.runs.db_threads import run_in_db_thread
from agents_app.web import events
from tests.agents_app.scripts import Script, wait_for
from tests.model_server import PATIENCE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's LISTEN"),
]


@pytest.mark.skipif(
    os.environ.get("TEST_DATABASE") == "pgbouncer", reason="PgBouncer passes no notifications on"
)
def test_a_run_that_ends_before_its_text_is_saved_wakes_its_watchers(
    run: AgentRun, script: Script
) -> None:
    with closing(listen.Listener()) as listener:
        listener.wait(0, 0)  # connects
        script.say(AgentFailed("The model is busy."))
        dispatch.submit(run.pk, run.user_id)
        started = time.monotonic()
        listener.wait(PATIENCE, 0)
        assert time.monotonic() - started < PATIENCE
    assert wait_for(run).status == AgentRun.Status.FAILED


@pytest.mark.skipif(os.environ.get("TEST_DATABASE") != "pgbouncer", reason="needs PgBouncer")
def test_watchers_do_not_listen_through_a_pooler() -> None:
    with closing(listen.Listener()) as listener:
        listener.wait(0, 0)
        with connection.cursor() as cursor:  # uses the server connection that was used last
            cursor.execute("SELECT pg_listening_channels()")
            channels = [channel for (channel,) in cursor.fetchall()]
    # A worker of another test may have listened to jobs on this server connection.
    assert PROGRESS_CHANNEL not in channels


def test_unresponsive_direct_url_keeps_nobody_waiting(
    run: AgentRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_CONNECT_TIMEOUT", 2)

    async def watch() -> None:
        watcher = events.run_events(run.pk)
        said = ""
        for words in ("One", "Two", "Three"):
            said += f"{words}. "
            await run_in_db_thread(AgentRun.objects.save_progress, [Progress(run.pk, 0, said)])
            assert words in (await anext(watcher)).decode()
        await watcher.aclose()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings.DATABASE_DIRECT_URL = f"postgresql://nobody@127.0.0.1:{port}/nothing"
        asyncio.run(watch())
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
