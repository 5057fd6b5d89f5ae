"""The log of readings: what is recorded, and who may read it."""

import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sessions_app.models import Session, TranscriptReading
from sessions_app.review.reading_log import record_list_reading, record_reading
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, change_url, log_in, staff

MESSAGES = "/admin/sessions_app/message/"
READINGS = "/admin/sessions_app/transcriptreading/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor() -> Client:
    return log_in(staff("auditor", "view_transcriptreading", "view_session"))


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", "view_message", "read_transcripts"))


def readings() -> set[tuple[str, uuid.UUID | None, str]]:
    return set(TranscriptReading.objects.values_list("username", "session_id", "via"))


# --- What is recorded ----------------------------------------------------------------


def test_opening_a_message_is_recorded(reader: Client) -> None:
    message = say(make_session())
    assert Page.of(reader, change_url(message)).status == 200
    assert readings() == {("reader", message.session_id, "message")}


def test_a_list_of_messages_is_recorded_once_with_its_search(reader: Client) -> None:
    for _ in range(3):
        say(make_session(), "Wanted")
    assert Page.of(reader, f"{MESSAGES}?q=wanted&role__exact=user").status == 200
    reading = TranscriptReading.objects.get()
    assert (reading.username, reading.session_id) == ("reader", None)
    assert (reading.via, reading.query) == ("list of messages", "q=wanted&role__exact=user")


def test_a_list_that_shows_how_users_begin_is_recorded_once() -> None:
    reader = log_in(staff("reader", "view_session", "read_transcripts"))
    say(make_session(name="Named by a person"), "Not shown")
    Page.of(reader, LIST)
    assert readings() == set()
    for _ in range(2):
        say(phantom(), "How do I begin?")
    assert "How do I begin?" in Page.of(reader, f"{LIST}?messages=yes").text
    reading = TranscriptReading.objects.get()
    assert (reading.session_id, reading.via) == (None, "list of sessions")
    assert reading.query == "messages=yes"


@pytest.mark.parametrize("path", [MESSAGES, f"{MESSAGES}?q=no+such", f"{MESSAGES}?nonsense=1"])
def test_nothing_is_recorded_where_nothing_is_shown(reader: Client, path: str) -> None:
    Page.of(reader, path)
    assert readings() == set()


def test_nothing_is_recorded_of_who_may_not_read() -> None:
    message = say(make_session())
    clerk = log_in(staff("clerk", "view_message", "view_session", "export_session"))
    say(phantom(), "Private words")
    for url in (MESSAGES, LIST, change_url(message), change_url(message.session)):
        assert "Private words" not in clerk.get(url).content.decode()
    assert readings() == set()


# --- The log -------------------------------------------------------------------------


def test_the_log_says_who_read_what_how_and_when(auditor: Client) -> None:
    rita = staff("rita")
    there, gone = make_session(name="Plans"), uuid.uuid4()
    record_reading(rita, [there.pk, gone], via="export")
    page = Page.of(auditor, READINGS)
    for text in ("rita", "export", "Plans", str(gone)):
        assert text in page.text
    assert change_url(there) in page.links
    assert not any(str(gone) in link for link in page.links)
    rita.delete()
    for reading in TranscriptReading.objects.all():
        page = Page.of(auditor, change_url(reading))
        assert page.status == 200
        assert "rita" in page.text
        assert str(reading.session_id) in page.text
        assert not page.problems


def test_the_log_says_what_a_list_was_searched_for(auditor: Client) -> None:
    record_list_reading(staff("rita"), via="list of messages", query="q=two+words&p=2")
    for url in (READINGS, change_url(TranscriptReading.objects.get())):
        page = Page.of(auditor, url)
        assert "list of messages" in page.text
        assert "q=two words, p=2" in page.text
        assert "None" not in page.text


def test_names_of_sessions_are_for_those_who_may_view_them() -> None:
    chat_session = make_session(name="Private plans")
    record_reading(staff("rita"), [chat_session.pk], via="page")
    auditor = log_in(staff("auditor", "view_transcriptreading"))
    for url in (READINGS, change_url(TranscriptReading.objects.get())):
        page = Page.of(auditor, url)
        assert "Private" not in page.html
        assert str(chat_session.pk) in page.text
        assert change_url(chat_session) not in page.links


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("user=rita", {"page"}),
        ("user=RITA", {"page"}),
        ("user=rit", set()),
        ("q={id}", {"page", "export"}),
        ("session_id={id}", {"page", "export"}),
        ("q=+{hex}+", {"page", "export"}),
        ("q=" + str(uuid.UUID(int=7)), set()),
        ("q=plans", set()),
        ("read_at__gte=2001-01-01+00:00:00%2B00:00", {"page", "export", "message"}),
        ("read_at__lt=2001-01-01+00:00:00%2B00:00", set()),
    ],
)
def test_the_log_is_searched_by_reader_session_and_time(
    auditor: Client, query: str, found: set[str]
) -> None:
    chat_session = make_session()
    record_reading(staff("rita"), [chat_session.pk], via="page")
    record_reading(staff("olga"), [chat_session.pk], via="export")
    record_reading(staff("vera"), [make_session().pk], via="message")
    filled = query.format(id=chat_session.pk, hex=chat_session.pk.hex)
    page = Page.of(auditor, f"{READINGS}?{filled}")
    assert page.status == 200
    assert {via for via in ("page", "export", "message") if f">{via}<" in page.html} == found


def test_a_search_finds_no_readings_of_lists(auditor: Client) -> None:
    record_list_reading(staff("rita"), via="list of messages", query="")
    page = Page.of(auditor, f"{READINGS}?q={uuid.uuid4()}")
    assert "list of messages" not in page.text


def test_the_log_lists_single_sessions_without_the_many_lists(auditor: Client) -> None:
    record_list_reading(staff("rita"), via="list of messages", query="p=2")
    record_reading(staff("olga"), [make_session().pk], via="export")
    for what, found in (("sessions", {"export"}), ("lists", {"list of messages"})):
        page = Page.of(auditor, f"{READINGS}?what={what}")
        assert {via for via in ("export", "list of messages") if f">{via}<" in page.html} == found


def test_the_log_is_read_only(auditor: Client) -> None:
    record_reading(staff("rita"), [make_session().pk], via="page")
    url = change_url(TranscriptReading.objects.get())
    token = auditor.cookies["csrftoken"].value
    for target in (url, f"{READINGS}add/", url.replace("change", "delete")):
        data = {"csrfmiddlewaretoken": token, "username": "other", "post": "yes"}
        assert auditor.post(target, data).status_code == 403
    assert TranscriptReading.objects.get().username == "rita"


def test_the_log_takes_the_same_queries_for_any_length(auditor: Client) -> None:
    counts = []
    for number in (1, 9):
        for reading in range(number):
            record_reading(staff(f"rita-{number}-{reading}"), [make_session().pk], via="page")
        with CaptureQueriesContext(connection) as captured:
            auditor.get(READINGS)
        counts.append(len(captured))
    assert counts[0] == counts[1]
    assert Session.objects.count() == 10
