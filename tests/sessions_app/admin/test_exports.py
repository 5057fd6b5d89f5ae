"""The log of exports, for those who may read the log of readings."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.models import Export
from tests.sessions_app.admin.helpers import Page, change_url, log_in, staff

EXPORTS = "/admin/sessions_app/export/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor() -> Client:
    return log_in(staff("auditor", "view_transcriptreading"))


def export_by(name: str, **values: Any) -> Export:
    values = {
        "selection": "the list with platform=web",
        "format": "csv",
        "with_transcripts": False,
        "exported": 12_345,
        "finished_at": timezone.now(),
        **values,
    }
    return Export.objects.create(user=staff(name), username=name, **values)


def test_the_log_says_who_exported_what_how_many_and_when(auditor: Client) -> None:
    row = export_by("rita")
    for url in (EXPORTS, change_url(row)):
        page = Page.of(auditor, url)
        for text in ("rita", "the list with platform=web", "12,345", "csv", "Without"):
            assert text in page.text, url
        assert f"{row.started_at:%Y-%m-%d %H:%M}" in page.text
        assert "not finished" not in page.text
        assert not page.problems
    User.objects.get(username="rita").delete()
    assert "rita" in Page.of(auditor, EXPORTS).text


def test_transcripts_and_an_early_end_are_said(auditor: Client) -> None:
    row = export_by("rita", with_transcripts=True, finished_at=None)
    for url in (EXPORTS, change_url(row)):
        page = Page.of(auditor, url)
        assert "With transcripts" in page.text
        assert "12,345, not finished" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"rita", "olga"}),
        ("user=RITA", {"rita"}),
        ("with_transcripts__exact=1", {"olga"}),
        ("with_transcripts__exact=0", {"rita"}),
        ("started_at__lt=2001-01-01", set()),
    ],
)
def test_the_log_is_filtered(auditor: Client, query: str, found: set[str]) -> None:
    export_by("rita")
    export_by("olga", with_transcripts=True)
    html = Page.of(auditor, f"{EXPORTS}?{query}").html
    assert {name for name in ("rita", "olga") if f">{name}<" in html} == found


def test_the_log_is_read_only_and_not_for_those_who_export(auditor: Client) -> None:
    row = export_by("rita")
    exporter = log_in(staff("exporter", "view_session", "export_session", "read_transcripts"))
    assert exporter.get(EXPORTS).status_code == 403
    token = auditor.cookies["csrftoken"].value
    for target in (change_url(row), f"{EXPORTS}add/", change_url(row).replace("change", "delete")):
        data = {"csrfmiddlewaretoken": token, "username": "other", "post": "yes"}
        assert auditor.post(target, data).status_code == 403
    assert Export.objects.get().username == "rita"


def test_the_log_takes_the_same_queries_for_any_length(auditor: Client) -> None:
    counts = []
    for number in (1, 9):
        for one in range(number):
            export_by(f"rita-{number}-{one}")
        with CaptureQueriesContext(connection) as captured:
            auditor.get(EXPORTS)
        counts.append(len(captured))
    assert counts[0] == counts[1]
