"""Exporting the selected sessions from the list: formats, permissions, the logs."""

import csv
import io
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents_app.models import Agent, AgentRun
from sessions_app.admin import export_files
from sessions_app.models import Export, Review, Session, TranscriptReading
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

EXPORT = ("view_session", "export_session")
MOMENT = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> Client:
    return log_in(staff("clerk", *EXPORT))


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", *EXPORT, "read_transcripts"))


def export(
    client: Client, *ticked: Session, url: str = LIST, across: bool = False, **fields: Any
) -> Any:
    """The answer to the form of the choice, with its file read."""
    if "csrftoken" not in client.cookies:
        client.get(LIST)
    data = {
        "csrfmiddlewaretoken": client.cookies["csrftoken"].value,
        "action": "export_sessions",
        "select_across": str(int(across)),
        "_selected_action": [str(row.pk) for row in ticked or Session.objects.all()[:1]],
        "export": "Export",
        "format": "jsonl",
        **fields,
    }
    return client.post(url, data)


def text_of(response: Any) -> str:
    assert response.streaming, response.content.decode()
    return b"".join(response.streaming_content).decode()


def lines_of(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text_of(response).splitlines()]


def rows_of(response: Any) -> list[dict[str, str]]:
    text = text_of(response)
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def in_csv(value: Any) -> str:
    if value is None:
        return ""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def test_the_action_leads_to_a_choice_and_the_choice_to_a_file(clerk: Client) -> None:
    chosen, _other = make_session(name="Plans, 2024"), make_session()
    page = Page.of(clerk, f"{LIST}?platform=web").press(
        "index", action="export_sessions", _selected_action=[str(chosen.pk)]
    )
    assert page.status == 200
    assert "1 session</strong>, newest first" in page.html
    assert "transcripts" not in page.html
    assert not page.problems
    form = next(form for form in page.forms if "export" in dict(form.buttons))
    response = clerk.post(form.action, {**dict(form.fields), "export": "Export"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    date = timezone.localdate().isoformat()
    name = f'attachment; filename="Chat sessions {date}.csv"'
    assert response["Content-Disposition"] == name
    assert [row["name"] for row in rows_of(response)] == ["Plans, 2024"]


def test_every_column_of_both_formats(clerk: Client) -> None:
    ana, agent = User.objects.create_user("ana"), Agent.objects.create(name="Helper")
    used = make_session(
        name="Plänē",
        user=ana,
        agent=agent,
        created_at=MOMENT,
        keep=True,
        last_run_status="failed",
    )
    say(used)
    reviewed_at = MOMENT + timedelta(days=1)
    Review.objects.create(
        session=used,
        verdict="bad",
        note="-1 for the price",
        flagged=True,
        reviewed_at=reviewed_at,
        reviewed_by=staff("rita"),
    )
    for tokens_in, tokens_out, cost in ((1_000, 10, "0.0010"), (234, None, None)):
        AgentRun.objects.create(
            session=used,
            message=used.messages.get(),
            status=AgentRun.Status.DONE,
            finished_at=MOMENT,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cost=cost and Decimal(cost),
        )
    Session.objects.filter(pk=used.pk).update(updated_at=MOMENT + timedelta(hours=1))
    empty = phantom(created_at=MOMENT - timedelta(days=1))
    first, second = lines_of(export(clerk, across=True))
    assert first == {
        "id": str(used.pk),
        "name": "Plänē",
        "user": "ana",
        "agent": "Helper",
        "platform": "web",
        "created_at": "2024-02-29T12:30:00+00:00",
        "last_activity": "2024-02-29T13:30:00+00:00",
        "message_count": 1,
        "input_tokens": 1_234,
        "output_tokens": 10,
        "cost": 0.001,
        "last_outcome": "failed",
        "removable": False,
        "keep": True,
        "verdict": "bad",
        "note": "-1 for the price",
        "flagged": True,
        "reviewed_at": "2024-03-01T12:30:00+00:00",
        "reviewed_by": "rita",
    }
    assert (second["id"], second["removable"], second["user"]) == (str(empty.pk), True, "")
    assert (second["input_tokens"], second["cost"], second["note"]) == (None, None, "")
    rows = rows_of(export(clerk, across=True, format="csv"))
    assert rows[0].pop("note") == f"'{first.pop('note')}"
    for row, line in zip(rows, (first, second), strict=True):
        assert row == {name: in_csv(value) for name, value in line.items()}


def test_all_pages_of_the_filtered_list_are_exported(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "_SESSIONS_AT_ONCE", 7)
    # Some of the same moment, so that the order of batches is the keys'.
    wanted = {
        make_session(platform="cli", created_at=MOMENT + timedelta(hours=n // 10)).pk
        for n in range(60)
    }
    make_session()
    lines = lines_of(export(clerk, url=f"{LIST}?platform=cli&p=2", across=True))
    assert len(lines) == 60
    assert {uuid.UUID(line["id"]) for line in lines} == wanted
    moments = [line["created_at"] for line in lines]
    assert moments == sorted(moments, reverse=True)


@pytest.mark.parametrize("query", ["q=plan", "removable=no", "user=ana", "agent__id__exact=0"])
def test_each_kind_of_filter_can_be_exported(clerk: Client, query: str) -> None:
    ana = User.objects.create_user("ana")
    make_session(name="Planning", user=ana)
    phantom()
    lines = lines_of(export(clerk, url=f"{LIST}?{query}", across=True))
    assert [line["name"] for line in lines] == ([] if "agent" in query else ["Planning"])


def test_a_batch_costs_the_same_queries_for_1_session_and_for_100(reader: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            export_all = export(reader, across=True, transcripts="on")
            lines_of(export_all)
        return len(captured)

    say(make_session())
    count()
    one = count()
    for number in range(99):
        say(
            make_session(
                user=User.objects.create_user(f"user-{number}"),
                agent=Agent.objects.create(name=f"agent-{number}"),
            )
        )
    assert count() == one


# --- Transcripts ---------------------------------------------------------------------


def test_transcripts_are_inside_the_line_of_their_session(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "_MESSAGES_AT_ONCE", 4)
    sessions = [make_session(created_at=MOMENT + timedelta(days=n)) for n in range(6)]
    for number, chat_session in enumerate(sessions):
        for position in range(number * 2):  # 0, 2, 4: read together; 6, 8, 10: in parts
            say(chat_session, f"{number}.{position}")
    say(sessions[1], role="tool", text="", tool_outputs=[{"content": [1, None]}])
    say(sessions[1], "Other", set_aside_with=uuid.uuid4())
    lines = lines_of(export(reader, across=True, transcripts="on"))
    for number, line in enumerate(reversed(lines)):
        texts = [message["text"] for message in line["messages"] if message["role"] == "user"]
        expected = [f"{number}.{position}" for position in range(number * 2)]
        assert texts == expected + (["Other"] if number == 1 else [])
    tool, other = lines[4]["messages"][2:]
    assert tool["tool_outputs"] == [{"content": [1, None]}]
    assert (tool["chosen"], other["chosen"]) == (True, False)


def test_transcripts_in_csv_have_a_row_per_message(reader: Client) -> None:
    chat_session = make_session(created_at=MOMENT)
    say(chat_session, 'One,\n"two"')
    say(chat_session, role="assistant", text="=SUM(A1)", tool_calls=[{"tool_name": "x"}])
    empty = make_session(created_at=MOMENT - timedelta(days=1))
    first, second, third = rows_of(export(reader, across=True, format="csv", transcripts="on"))
    assert first["id"] == second["id"] == str(chat_session.pk)
    assert (first["text"], first["role"], first["chosen"]) == ('One,\n"two"', "user", "yes")
    assert second["text"] == "'=SUM(A1)"
    assert json.loads(second["tool_calls"]) == [{"tool_name": "x"}]
    assert (third["id"], third["text"], third["message_id"]) == (str(empty.pk), "", "")


def test_transcripts_need_their_permission(clerk: Client) -> None:
    chat_session = make_session()
    say(chat_session, "A secret")
    assert export(clerk, chat_session, transcripts="on").status_code == 403
    for ending in ("csv", "jsonl"):
        assert "secret" not in text_of(export(clerk, chat_session, format=ending))
    assert not TranscriptReading.objects.exists()


def test_reading_transcripts_by_an_export_is_recorded(reader: Client) -> None:
    read, empty, other = make_session(), make_session(), make_session()
    for chat_session in (read, other):
        say(chat_session)
    text_of(export(reader, read, empty))
    assert not TranscriptReading.objects.exists()
    text_of(export(reader, read, empty, transcripts="on"))
    reading = TranscriptReading.objects.get()
    assert (reading.username, reading.session_id, reading.via) == ("reader", read.pk, "export")


# --- Permissions, and what is logged -------------------------------------------------


def test_exporting_needs_its_permission() -> None:
    chat_session = make_session()
    viewer = log_in(staff("viewer", "view_session", "delete_session", "read_transcripts"))
    assert "export_sessions" not in Page.of(viewer, LIST).html
    response = export(viewer, chat_session)
    assert not response.streaming
    assert response.status_code == 302  # as Django answers an action that is not offered
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("url", "across", "fields", "logged"),
    [
        (LIST, True, {}, ("the whole list", "jsonl", False, 3)),
        (
            f"{LIST}?platform=web&q=Plan+a&p=0",
            False,
            {"format": "csv", "transcripts": "on"},
            ("1 session of the list with platform=web, q=Plan a", "csv", True, 1),
        ),
    ],
)
def test_an_export_is_logged(
    reader: Client, url: str, across: bool, fields: dict[str, str], logged: tuple[Any, ...]
) -> None:
    for _ in range(3):
        make_session(name="Plan a")
    response = export(reader, url=url, across=across, **fields)
    entry = Export.objects.get()
    assert (entry.username, entry.exported, entry.finished_at) == ("reader", 0, None)
    text_of(response)
    entry.refresh_from_db()
    assert (entry.selection, entry.format, entry.with_transcripts, entry.exported) == logged
    assert entry.finished_at


def test_the_log_says_how_far_an_aborted_export_came(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "_SESSIONS_AT_ONCE", 200)
    monkeypatch.setattr("sessions_app.streamed_files._CHUNK_SIZE", 1_000)
    Session.objects.bulk_create(Session(name="x", platform="web") for _ in range(450))
    response = export(clerk, across=True)
    next(iter(response.streaming_content))
    entry = Export.objects.get()
    assert (entry.exported, entry.finished_at) == (200, None)


@pytest.mark.parametrize("ending", ["exe", ""])
def test_an_unknown_format_is_asked_for_again(clerk: Client, ending: str) -> None:
    page = Page(clerk, export(clerk, make_session(), format=ending))
    assert page.status == 200
    assert "export" in {button for form in page.forms for button in dict(form.buttons)}
    assert not Export.objects.exists()


# --- Whatever a session holds --------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_formulas_are_defused(clerk: Client, start: str) -> None:
    name = f'{start}HYPERLINK("http://example.org";"x")'
    chat_session = make_session(name=name)
    assert rows_of(export(clerk, chat_session, format="csv"))[0]["name"] == f"'{name}"
    assert lines_of(export(clerk, chat_session))[0]["name"] == name


def test_extreme_json_does_not_end_an_export() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, [10**5000]):
        assert "too deep or too long" in export_files._json(value)
        assert "too deep or too long" in export_files._cell(value)
    assert export_files._json("\ud800") == '"\\\\ud800"'
    export_files._cell("\ud800").encode()


@pytest.mark.django_db(transaction=True)
def test_the_server_sends_an_export_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "_READ_AT_ONCE", 2)
    user = staff("reader", *EXPORT, "read_transcripts")
    for _ in range(5):
        say(make_session())

    async def read() -> tuple[bool, str]:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.post(
            LIST,
            {
                "action": "export_sessions",
                "select_across": "1",
                "_selected_action": str(uuid.uuid4()),
                "export": "Export",
                "format": "jsonl",
                "transcripts": "on",
            },
        )
        pieces = [piece async for piece in response.streaming_content]
        return response.is_async, b"".join(pieces).decode()

    is_async, text = async_to_sync(read)()
    assert is_async
    assert len(text.splitlines()) == 5
    assert TranscriptReading.objects.count() == 5
