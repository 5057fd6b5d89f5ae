"""Actions on selected sessions, and their records, in a browser: axe and widths."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from playwright.sync_api import Page, expect

from agents_app.models import Agent
from sessions_app.models import CleanupRun, Export
from sessions_app.review.reading_log import record_reading
from tests.agents_app.chats import answered, make_user
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import phantom

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

SHAPES = [((1440, 900), "light"), ((768, 1024), "dark"), ((390, 844), "light")]
LIST = "/admin/sessions_app/session/"


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def check(page: Page, heading: str) -> None:
    expect(page.locator("#content h1")).to_have_text(heading)
    for (width, height), scheme in SHAPES:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        check_page(page, f"{heading} {width} {scheme}")
    width, height = SHAPES[0][0]
    page.set_viewport_size({"width": width, "height": height})


def choose(page: Page, action: str) -> None:
    """Choose an action for all rows of the list."""
    page.goto(LIST)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label=action)
    page.locator("button[name=index]").click()  # "Go", and "Run" since Django 6.1


def test_pages_of_actions_and_records_have_no_violations(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    chat_session = answered(user, "Boats")
    for _ in range(3):
        phantom()
    call_command("cleanup_sessions", limit=2, stdout=StringIO())
    run = CleanupRun.objects.get()
    record_reading(
        user, [chat_session.pk, run.removed_sessions.earliest("session_id").session_id], via="page"
    )
    page = open_page(LIST, reduced_motion="reduce")

    choose(page, "Remove empty auto-named automagik sessions")
    check(page, "Remove empty sessions")
    page.set_viewport_size({"width": 390, "height": 844})
    sample = page.locator(".sample tbody tr")
    expect(sample).to_have_count(1)
    assert sample.evaluate("row => row.offsetHeight") < 40, "one line"
    choose(page, "Export…")
    check(page, "Export chat sessions")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename.endswith(".csv")

    for name, args, heading in (
        ("transcriptreading_changelist", [], "Transcript readings"),
        ("export_changelist", [], "Exports"),
        ("export_change", [Export.objects.get().pk], f"Export {Export.objects.get().pk}"),
        ("cleanuprun_changelist", [], "Cleanup runs"),
        ("cleanuprun_change", [run.pk], f"Cleanup {run.pk}"),
        ("cleanuprun_restore", [run.pk], "Restore sessions"),
        ("session_history", [chat_session.pk], f"Change history: {chat_session}"),
    ):
        page.goto(reverse(f"admin:sessions_app_{name}", args=args))
        check(page, heading)

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(reverse("admin:sessions_app_transcriptreading_changelist"))
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(2)
    heights = rows.evaluate_all("all => all.map((row) => Math.round(row.offsetHeight))")
    assert len(set(heights)) == 1
    assert heights[0] < 40, "one line"


def test_where_did_a_session_go(open_page: OpenPage, user: User, agent: Agent) -> None:
    wanted = phantom(name="Session-boats")
    phantom()
    call_command("cleanup_sessions", stdout=StringIO())
    page = open_page("/admin/sessions_app/cleanuprun/", reduced_motion="reduce")

    for words in (str(wanted.pk), "boats"):
        page.locator("#searchbar").fill(words)
        page.keyboard.press("Enter")
        found = page.get_by_role("region", name="Removed sessions")
        expect(found.get_by_role("cell", name="Session-boats")).to_be_visible()
        check(page, "Cleanup runs")
    found.get_by_role("link").click()
    row = page.get_by_role("row", name="Session-boats")
    expect(row).to_be_visible()
    expect(row.get_by_role("checkbox")).to_be_enabled()
    expect(page.get_by_role("button", name="Restore selected")).to_be_visible()
