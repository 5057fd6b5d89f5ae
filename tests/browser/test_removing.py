"""A removal over several requests, in a browser with and without JavaScript.

The list's requests are answered in this process, where the slice size can be reduced.
"""

from functools import partial

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, Route, expect

from sessions_app.admin import bulk_removal
from sessions_app.cleanup import run as cleanup
from sessions_app.cleanup.options import Options
from sessions_app.models import CleanupRun, Session
from tests.browser.axe import check_shapes
from tests.browser.conftest import OpenPage
from tests.browser.in_process import answer_in_process
from tests.factories import make_session, phantom

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/sessions_app/session/"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, user: User) -> Session:
    """A session that is not removable, alongside five that are; each request removes two."""
    monkeypatch.setattr(bulk_removal, "REQUEST_TIME_BUDGET", 0.0)
    monkeypatch.setattr(cleanup, "Options", partial(Options, batch_size=2))
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    for _ in range(5):
        phantom()
    return make_session()


def answer_here(page: Page, user: User, *, hold: bool = False) -> list[str]:
    """Answer the list's forms in this process; returns how each request was made.

    With `hold`, those made in place are left unanswered.
    """
    client = Client()
    client.force_login(user)
    made: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        made.append(route.request.resource_type)
        if hold and route.request.resource_type == "fetch":
            return
        answer_in_process(route, client)

    page.route(f"**{LIST}", answer)
    return made


def confirm(page: Page) -> None:
    """Tick all rows of the list, choose the removal, and confirm it."""
    for box in page.locator(".action-select").all():
        box.check()
    page.locator("select[name=action]").select_option("remove_empty_sessions")
    page.locator("button[name=index]").click()  # "Go", and "Run" since Django 6.1
    page.get_by_role("button", name="Remove 5 sessions").click()


def check_removed(page: Page, kept: Session) -> None:
    expect(page.get_by_role("heading", name="Chat sessions")).to_be_visible()
    assert list(Session.objects.all()) == [kept]
    assert CleanupRun.objects.get().status == CleanupRun.Status.DONE


def test_a_removal_shows_its_progress_in_place(
    open_page: OpenPage, user: User, kept: Session
) -> None:
    page = open_page(LIST)
    made = answer_here(page, user)
    confirm(page)
    check_removed(page, kept)
    # The confirmation, the first slice with a page load, and the others within that page.
    assert made == ["document", "document", "fetch", "fetch", "fetch"]


def test_the_progress_has_no_violations(open_page: OpenPage, user: User, kept: Session) -> None:
    page = open_page(LIST, reduced_motion="reduce")
    answer_here(page, user, hold=True)
    confirm(page)
    expect(page.get_by_role("button", name="Stop here")).to_be_visible()
    check_shapes(page, "the progress of a removal")


def test_continue_goes_on_without_script(open_page: OpenPage, user: User, kept: Session) -> None:
    page = open_page(LIST, java_script_enabled=False)
    made = answer_here(page, user)
    confirm(page)
    for removed in (2, 4, 5):
        expect(page.get_by_text(f"Removed {removed} of 5 sessions so far.")).to_be_visible()
        expect(page.get_by_text("Press “Continue” until all are removed.")).to_be_visible()
        page.get_by_role("button", name="Continue").click()
    check_removed(page, kept)
    assert made == ["document"] * 5
