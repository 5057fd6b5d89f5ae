"""The admin's list of sessions: its columns and filters at three widths, and its look."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from sessions_app.models import Review, SavedFilter
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import make_session, phantom, say

LIST = "/admin/sessions_app/session/"
PHONE = {"Name", "Last activity", "Removable"}


def shown_columns(page: Page) -> set[str]:
    headers = page.locator("#result_list thead th:visible:not(.action-checkbox-column)")
    return {text.strip() for text in headers.all_inner_texts()}


def row_heights(page: Page) -> list[int]:
    return list(
        page.evaluate(
            "[...new Set([...document.querySelectorAll('#result_list tbody tr:not(.hit)')]"
            ".map((row) => row.offsetHeight))]"
        )
    )


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (768, "dark"), (390, "light")])
def test_the_list(open_page: OpenPage, user: User, width: int, scheme: str) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    SavedFilter.objects.create(user=user, name="Failed", query="outcome=failed")
    for status in ("failed", "stopped", "interrupted", "done", ""):
        chat_session = phantom(user=user, platform="cli", last_run_status=status)
        say(chat_session, "How do I reset the password of my account? " * 20)
        Review.objects.create(
            session=chat_session, verdict="bad", flagged=True, reviewed_at=timezone.now()
        )
    phantom()
    make_session(name="A name " * 20)
    page = open_page(
        f"{LIST}?messages=yes&said=password",
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    expect(page.locator("mark").first).to_be_visible()
    check_page(page, "a search")
    page.goto(LIST)
    # Even where it is always shown, axe takes a closed bar's contents for hidden.
    page.locator(".filter-bar").evaluate("bar => { bar.open = true; }")
    assert len(row_heights(page)) == 1
    assert page.locator(".results").evaluate("box => box.scrollWidth <= box.clientWidth")
    assert shown_columns(page) >= PHONE
    if width > 1400:
        opening, given = (
            page.locator("tr:has(.opening)").first.locator(".field-shown_name span").all()
        )
        assert "opening" in str(opening.get_attribute("class"))
        assert opening.evaluate("one => one.getBoundingClientRect().left") < given.evaluate(
            "one => one.getBoundingClientRect().left"
        )
    assert width > 400 or shown_columns(page) == PHONE
    assert width < 1400 or len(shown_columns(page)) == 10
    for name in ("Platform", "Created", "User", "Saved filters"):
        page.locator("summary", has_text=name).click()
        check_page(page, name)
    page.keyboard.press("Escape")
    expect(page.locator(".list-filters details[open]")).to_have_count(0)
    page.locator("summary", has_text="Last answer").click()
    page.get_by_role("link", name="Stopped", exact=True).click()
    expect(page.locator("summary", has_text="Last answer: stopped")).to_be_visible()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_filters_are_folded_on_phones_unless_one_is_set(open_page: OpenPage, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    phantom()
    page = open_page(LIST, viewport={"width": 390, "height": 844}, java_script_enabled=False)
    button = page.locator("summary").get_by_text("Filters", exact=True)
    platform = page.locator("summary", has_text="Platform")
    expect(button).to_be_visible()
    expect(platform).to_be_hidden()
    button.click()
    expect(platform).to_be_visible()
    page.goto(f"{LIST}?messages=no")
    expect(platform).to_be_visible()
    page.set_viewport_size({"width": 768, "height": 1024})
    page.goto(LIST)
    expect(platform).to_be_visible()
    expect(button).to_be_hidden()


def test_phones_show_where_names_begin(open_page: OpenPage, user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    for name in ("A name of a session " * 5, "كيف يمكنني إعادة تعيين كلمة المرور الخاصة بي " * 3):
        make_session(name=name)
    page = open_page(LIST, viewport={"width": 390, "height": 844})
    cells = page.locator("#result_list .field-shown_name")
    assert cells.count() == 2
    for cell in cells.all():
        assert cell.evaluate("cell => cell.scrollWidth > cell.clientWidth"), "is cut"
        box, first = cell.evaluate(
            """cell => {
                const range = document.createRange();
                const text = cell.querySelector(".name").firstChild;
                range.setStart(text, 0);
                range.setEnd(text, 1);
                return [cell.getBoundingClientRect(), range.getBoundingClientRect()];
            }"""
        )
        assert box["left"] <= first["left"] < first["right"] <= box["right"]
    tick = page.locator("#result_list .action-select").last.bounding_box()
    shown = page.locator("#result_list .name").last.bounding_box()
    assert tick
    assert shown
    assert tick["x"] + tick["width"] + 4 <= shown["x"]
