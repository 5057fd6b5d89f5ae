"""A restore over several requests: in place, to its end, or until it is stopped.

The restore's requests are answered in this process, where the slice size can be reduced.
"""

import re
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from playwright.sync_api import Page, Route, expect

from sessions_app.admin import restoring
from sessions_app.models import CleanupRun, Session
from tests.browser.axe import check_page, check_shapes
from tests.browser.conftest import OpenPage
from tests.browser.in_process import answer_in_process
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, user: User) -> CleanupRun:
    """A cleanup of ten sessions, which a restore puts back three at a time."""
    monkeypatch.setattr("sessions_app.cleanup.restoring._BATCH_SIZE", 3)
    monkeypatch.setattr(restoring, "REQUEST_TIME_BUDGET", 0)
    for _ in range(10):
        phantom()
    call_command("cleanup_sessions", stdout=StringIO())
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    return CleanupRun.objects.get()


def answer_here(page: Page, user: User, *, stop: bool = False, hold: bool = False) -> list[str]:
    """Answer the page's restoring requests in this process; returns how each was made.

    With `stop`, "Stop here" is pressed during the second one; with `hold`, those made in place are
    left unanswered.
    """
    client = Client()
    client.force_login(user)
    made: list[str] = []

    def answer(route: Route) -> None:
        request = route.request
        if request.method != "POST":
            route.continue_()
            return
        made.append(request.resource_type)
        if hold and request.resource_type == "fetch":
            return
        if stop and len(made) == 2:
            page.evaluate("document.querySelector('[name=stop]').click()")
        answer_in_process(route, client)

    page.route("**/restore/", answer)
    return made


def test_a_restore_shows_its_progress_in_place(
    open_page: OpenPage, user: User, run: CleanupRun
) -> None:
    url = f"/admin/sessions_app/cleanuprun/{run.pk}"
    page = open_page(f"{url}/change/")
    check_page(page, "a cleanup run")
    page.goto(f"{url}/restore/")
    check_page(page, "the confirmation of a restore")
    made = answer_here(page, user)
    page.get_by_role("button", name="Restore 10 sessions").click()
    expect(page).to_have_url(re.compile("/change/$"))
    assert made == ["document", "fetch", "fetch", "fetch", "fetch"]
    assert Session.objects.filter(keep=True).count() == 10


def test_a_restore_can_be_stopped(open_page: OpenPage, user: User, run: CleanupRun) -> None:
    page = open_page(f"/admin/sessions_app/cleanuprun/{run.pk}/restore/")
    made = answer_here(page, user, stop=True)
    page.get_by_role("button", name="Restore 10 sessions").click()
    expect(page).to_have_url(re.compile("/change/$"))
    assert made == ["document", "fetch", "document"]
    assert Session.objects.count() == 6


def test_continue_is_offered_only_without_script(
    open_page: OpenPage, user: User, run: CleanupRun
) -> None:
    url = f"/admin/sessions_app/cleanuprun/{run.pk}/restore/"
    for has_script in (True, False):
        page = open_page(url, java_script_enabled=has_script)
        answer_here(page, user, hold=True)
        page.get_by_role("button", name=re.compile(r"Restore \d+ sessions")).click()
        expect(page.get_by_role("button", name="Stop here")).to_be_visible()
        shown = expect(page.get_by_role("button", name="Continue"))
        how_to = expect(page.get_by_text("Press “Continue” until all are restored."))
        for one in (shown, how_to):
            one.not_to_be_visible() if has_script else one.to_be_visible()
        if has_script:
            check_shapes(page, "the progress of a restore")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Restored 6 of 7 sessions so far.")).to_be_visible()
