"""The admin's frame and first page in a browser: axe, widths, both themes and the switch."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from agents_app.models import Agent, Preferences
from sessions_app.models import CleanupRun, Session
from tests.agents_app.chats import answered, failed, make_user
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import phantom

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

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
    brief = failed(user, error="Busy.")
    Session.objects.filter(pk=brief.session_id).update(name="A long name of a session " * 9)
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
    rows = page.get_by_role("region", name="Recent failures").locator("tbody tr")
    heights = rows.evaluate_all("all => all.map((row) => Math.round(row.offsetHeight))")
    assert len(heights) == 2
    assert len(set(heights)) == 1, "rows of one height"
    error = page.locator(".said > p").last
    assert error.evaluate("p => p.scrollWidth > p.clientWidth")

    bar = page.locator(".bar-good").first
    assert bar.evaluate("bar => getComputedStyle(bar).fill") not in {"none", "rgb(0, 0, 0)"}

    shape(page, WIDE, "light")
    page.get_by_role("button", name="Older than 7 days…").click()
    expect(page.get_by_role("main")).to_contain_text("The selected session will be removed")


def test_lists_and_forms_have_no_violations(open_page: OpenPage, user: User, agent: Agent) -> None:
    chat_session = answered(user)
    Session.objects.filter(pk=chat_session.pk).update(name="x" * 250)
    phantom()
    page = open_page("/admin/", reduced_motion="reduce")
    for name, args in (
        ("sessions_app_session_changelist", []),
        ("agents_app_agent_changelist", []),
        ("auth_user_changelist", []),
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


def test_the_admin_and_the_chat_share_one_theme(open_page: OpenPage, user: User) -> None:
    page = open_page("/admin/", color_scheme="light")
    root = page.locator("html")
    light = background(page)
    with page.expect_response("**/accounts/theme/"):
        page.get_by_role("button", name="Toggle theme (current theme: auto)").click()
    assert background(page) != light
    page.reload()
    expect(root).to_have_css("color-scheme", "dark")
    page.goto("/chats/")
    expect(root).to_have_css("color-scheme", "dark")

    page.goto("/accounts/settings/")
    page.get_by_label("Light").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.goto("/admin/")
    expect(root).to_have_css("color-scheme", "light")
    with page.expect_response("**/accounts/theme/"):
        page.get_by_role("button", name="Toggle theme (current theme: light)").click()
    page.goto("/chats/")
    expect(root).not_to_have_attribute("data-theme", re.compile("."))


def test_the_theme_of_the_settings_needs_no_script(open_page: OpenPage, user: User) -> None:
    Preferences.objects.create(user=user, theme="dark")
    page = open_page("/admin/", java_script_enabled=False, color_scheme="light")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")
    expect(page.locator(".theme-toggle")).to_be_hidden()


def test_fields_of_a_form_line_up_with_their_help(open_page: OpenPage, user: User) -> None:
    page = open_page(reverse("admin:password_change"))
    page.set_viewport_size({"width": 1440, "height": 900})
    heights, inputs, helps = page.evaluate(
        """() => {
            const boxes = (selector) => [...document.querySelectorAll(`fieldset ${selector}`)]
                .map((element) => [element, element.getBoundingClientRect()]);
            const indent = ([element, box]) =>
                Math.round(box.x + parseFloat(getComputedStyle(element).paddingLeft));
            return [
                boxes("input").map(([, box]) => Math.round(box.height)),
                boxes("input").map(([, box]) => Math.round(box.x)),
                boxes("div.help").map(indent),
            ];
        }"""
    )
    assert len(heights) == 3
    assert len(set(heights)) == 1, "as high next to a label of two lines"
    assert len({*inputs, *helps}) == 1, "help begins where its input does"
