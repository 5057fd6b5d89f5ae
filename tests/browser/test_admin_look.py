"""The admin's frame and first page in a browser: axe, widths, both themes and the switch."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from agents_app.models import Agent
from sessions_app.models import CleanupRun, Session
from tests.agents_app.chats import answered, failed, make_user
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)

WIDE, MIDDLE, NARROW = (1440, 900), (768, 1024), (390, 844)


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def shape(page: Page, size: tuple[int, int], scheme: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_dashboard_has_no_violations(open_page: OpenPage, user: User, agent: Agent) -> None:
    answered(user)
    failed(user, error="The provider is busy, and says so at length. " * 10)
    phantom(created_at=timezone.now() - timedelta(days=20))
    phantom()
    CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by=user.username)
    page = open_page("/admin/", reduced_motion="reduce")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    expect(page.get_by_role("img", name="Answers per day")).to_be_visible()
    page.locator("main details > summary").first.click()
    page.locator(".account-menu > summary").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    for scheme in ("light", "dark"):
        for size in (WIDE, MIDDLE, NARROW):
            shape(page, size, scheme)
            check_page(page, f"{scheme} {size}")

    label_ends, bars_begin = page.evaluate(
        "[document.querySelector('.plot .top').getBoundingClientRect().bottom,"
        " document.querySelector('.plot .bars').getBoundingClientRect().top]"
    )
    assert label_ends <= bars_begin
    error = page.locator(".said > p").first
    assert error.evaluate("p => p.scrollHeight > p.clientHeight")

    bar = page.locator(".bar-good").first
    assert bar.evaluate("bar => getComputedStyle(bar).fill") not in {"none", "rgb(0, 0, 0)"}

    # Django's switch changes all of the page, and the choice stays.
    shape(page, WIDE, "light")
    light = background(page)
    page.get_by_role("button", name="Toggle theme (current theme: auto)").click()
    assert background(page) != light
    page.reload()
    assert background(page) != light

    page.get_by_role("button", name="Older than 7 days…").click()
    expect(page.get_by_role("main")).to_contain_text("1 of the 1 selected session will be removed")


def test_lists_and_forms_have_no_violations(open_page: OpenPage, user: User, agent: Agent) -> None:
    chat_session = answered(user)
    Session.objects.filter(pk=chat_session.pk).update(name="x" * 250)
    phantom()
    page = open_page("/admin/", reduced_motion="reduce")
    for name, args in (
        ("sessions_app_session_changelist", []),
        ("sessions_app_session_delete", [chat_session.pk]),
        ("agents_app_agent_change", [agent.pk]),
        ("auth_user_change", [user.pk]),
        ("agents_app_apikey_add", []),
    ):
        page.goto(reverse(f"admin:{name}", args=args))
        expect(page.locator("#content h1")).to_have_count(1)
        for size, scheme in ((WIDE, "light"), (NARROW, "dark")):
            shape(page, size, scheme)
            check_page(page, f"{name} {scheme} {size}")
