"""Times at both ends of the calendar, which other systems store for "never" and "forever"."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from agents_app.models import Agent, AgentRun
from sessions_app.models import CleanupRun, Message, RemovedSession, Session
from tests.agents_app.automagik.databases import write_export
from tests.agents_app.automagik.helpers import ANSWERED, ASKED, CHAT, dump, run
from tests.factories import phantom
from tests.sessions_app.admin.helpers import LIST, choose

pytestmark = pytest.mark.django_db

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


@pytest.fixture(params=["Asia/Tokyo", "America/Sao_Paulo"], autouse=True)
def time_zone(settings: Settings, request: pytest.FixtureRequest) -> None:
    settings.TIME_ZONE = request.param


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", "eva@example.org"))
    return client


@pytest.fixture(params=[FIRST, LAST], ids=["first", "last"])
def moment(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def imported(tmp_path: Path, root: Client, moment: datetime) -> Session:
    times = {name: moment.isoformat() for name in ("created_at", "updated_at")}
    said = {"session_id": CHAT, "text_content": "Hello", **times}
    run(
        write_export(
            tmp_path,
            users=[{"id": "7", "email": "ana@example.org", **times}],
            agents=[{"id": "1", "name": "guide", "type": "simple", **times}],
            sessions=[
                {"id": CHAT, "user_id": "7", "run_finished_at": times["created_at"], **times}
            ],
            messages=[
                {"id": ASKED, "role": "user", **said},
                {"id": ANSWERED, "role": "tool", **said},
            ],
        )
    )
    return Session.objects.get()


def paths_of(row: Any) -> list[str]:
    folder = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
    return [folder, f"{folder}{row.pk}/change/"]


def test_an_imported_chat_is_shown_and_its_times_are_kept(
    client: Client, root: Client, imported: Session, moment: datetime, tmp_path: Path
) -> None:
    message = Message.objects.get(pk=ASKED)
    for kept in (imported.created_at, imported.updated_at, imported.run_finished_at):
        assert kept == moment
    assert message.created_at == message.updated_at == moment
    for row in (imported, message, Agent.objects.get(name="guide"), imported.user):
        for path in paths_of(row):
            page = root.get(path)
            assert page.status_code == 200, path
    before = dump()
    run(tmp_path)
    assert dump() == before

    client.force_login(User.objects.get(email="ana@example.org"))
    assert client.get("/chats/").status_code == 200
    for path in ("/chats/all/", f"/chats/{CHAT}/"):
        page = client.get(path)
        assert page.status_code == 200
        assert f"{moment.year:04}-" in page.content.decode()


def test_the_records_of_runs_and_of_removed_sessions_are_shown(
    root: Client, imported: Session, moment: datetime
) -> None:
    answer = AgentRun.objects.create(
        session=imported,
        message=imported.messages.earliest("position"),
        status="done",
        created_at=moment,
        heartbeat_at=moment,
        finished_at=moment,
    )
    phantom(created_at=moment, user=User.objects.get(username="root"))
    assert choose(root, *Session.objects.removable()).status == 200
    call_command("cleanup_sessions", stdout=StringIO())
    cleanup = CleanupRun.objects.get()
    assert RemovedSession.objects.get().created_at == moment
    CleanupRun.objects.update(started_at=moment, heartbeat_at=moment)
    for path in (*paths_of(answer), *paths_of(cleanup), paths_of(cleanup)[1][:-7] + "restore/"):
        assert root.get(path).status_code == 200, path


@pytest.mark.parametrize("bound", ["gte", "lt"])
@pytest.mark.parametrize("day", ["0001-01-01 00:00+14:00", "9999-12-31 23:59:59.999999-12:00"])
@pytest.mark.parametrize("path", [LIST, "/admin/agents_app/agentrun/"])
def test_a_list_can_be_filtered_by_the_ends_of_the_calendar(
    root: Client, path: str, day: str, bound: str
) -> None:
    page = root.get(path, {f"created_at__{bound}": day})
    assert page.status_code in {200, 302}, "302 is Django's answer to what it does not know"


@pytest.mark.parametrize("option", ["--created-after", "--created-before"])
@pytest.mark.parametrize("time", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"])
def test_a_bound_beyond_the_calendar_is_bad_usage(option: str, time: str) -> None:
    with pytest.raises(CommandError, match="calendar"):
        call_command("cleanup_sessions", f"{option}={time}", stdout=StringIO())
