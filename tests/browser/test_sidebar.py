"""The sidebar: drawer and column, menus, deleting and undoing, the dot."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from agents_app.chats.trash import trash_session
from agents_app.models import AgentRun
from sessions_app.models import Session
from tests.agents_app.chats import answered, ask
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send
from tests.browser.conftest import OpenPage
from tests.factories import make_session
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 800}
SIZES = [pytest.param(size, id=str(size["width"])) for size in (WIDE, NARROW)]


def sidebar(page: Page) -> Locator:
    """The sidebar, opened if it is a drawer."""
    panel = page.locator("#sidebar")
    page.wait_for_load_state()  # the styles decide whether it is a drawer
    if not panel.is_visible():
        page.get_by_role("link", name="Open the list of chats").click()
    expect(panel).to_be_visible()
    return panel


def open_menu(page: Page, name: str) -> Locator:
    entry = sidebar(page).locator(".entry").filter(has_text=name)
    entry.hover()
    entry.locator("summary").click()
    return entry


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("javascript", [True, False])
def test_rename_pin_and_delete_from_the_menu(
    open_page: OpenPage, user: User, size: Any, javascript: bool
) -> None:
    answered(user, "Boats")
    answered(user, "Trains")
    page = open_page(viewport=size, java_script_enabled=javascript)
    pin = open_menu(page, "Boats").get_by_role("button", name="Pin")
    if javascript:
        pin.click()
    else:
        with page.expect_navigation():
            pin.click()
    expect(sidebar(page).locator(".chat-name").first).to_have_text("Boats")
    expect(page.get_by_text("Pinned", exact=True)).to_be_visible()

    open_menu(page, "Boats").get_by_role("link", name="Rename").click()
    page.get_by_label("New name" if javascript else "Name of this chat").last.fill("Ships")
    page.get_by_role("button", name="Save").click()
    if not javascript:  # the next page, whose drawer is closed
        expect(page.get_by_role("heading", name="Ships")).to_be_visible()
    expect(sidebar(page).get_by_role("link", name="Ships")).to_be_visible()

    page.goto("/chats/")
    open_menu(page, "Ships").get_by_role("link", name="Delete").click()
    if not javascript:
        page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted “Ships”.")).to_be_visible()
    assert Session.objects.trash_of(user).get().name == "Ships"
    if javascript:
        expect(page.locator("#sidebar").get_by_text("Ships")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    expect(sidebar(page).get_by_role("link", name="Ships")).to_be_visible()
    assert not Session.objects.trash_of(user).exists()


def test_delete_and_undo_by_keyboard(open_page: OpenPage, user: User) -> None:
    chat_session = answered(user, "Where is the harbour?")
    page = open_page(viewport=WIDE)
    expect(page.get_by_label("Message")).to_be_focused()
    page.get_by_label("Options for Where is the harbour?").focus()
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    assert Session.objects.trashed().get() == chat_session
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Where is the harbour?")).to_be_visible()
    expect(page.locator("#sidebar")).to_be_focused()
    assert not Session.objects.trashed().exists()


def test_menu_closes(open_page: OpenPage, user: User) -> None:
    chat_session = answered(user, "Boats")
    page = open_page(f"/chats/{chat_session.pk}/", viewport=WIDE)
    menus: list[tuple[Callable[[], Any], Locator]] = [
        (lambda: open_menu(page, "Boats"), page.locator(".entry").get_by_text("Delete")),
        (
            lambda: page.locator("details.export > summary").click(),
            page.get_by_role("link", name="Markdown"),
        ),
    ]
    for open_it, shown in menus:
        open_it()
        expect(shown).to_be_visible()
        page.keyboard.press("Escape")
        expect(shown).to_be_hidden()
        open_it()
        expect(shown).to_be_visible()
        conversation(page).click()
        expect(shown).to_be_hidden()


def test_rename_without_its_script(open_page: OpenPage, user: User) -> None:
    answered(user, "Boats")
    page = open_page(viewport=WIDE)
    page.route("**/rename_dialog*.js", lambda route: route.abort())
    open_menu(page, "Boats").get_by_role("link", name="Rename").click()
    page.get_by_label("Name of this chat").fill("Ships")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Ships")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("javascript", [True, False])
def test_export_from_the_menu(open_page: OpenPage, user: User, size: Any, javascript: bool) -> None:
    answered(user, "Boats")
    page = open_page(viewport=size, java_script_enabled=javascript)
    for label, ending in (("Markdown", "md"), ("JSON", "json")):
        item = page.locator("#sidebar").get_by_role("link", name=f"Export as {label}")
        if not item.is_visible():
            open_menu(page, "Boats")
        with page.expect_download() as download:
            item.click()
        assert download.value.suggested_filename.endswith(f"Boats.{ending}")
        if javascript:
            expect(item).to_be_hidden()


@pytest.mark.parametrize("size", SIZES)
def test_rename_dialog_closes(open_page: OpenPage, user: User, size: Any) -> None:
    chat_session = answered(user, "Boats")
    page = open_page(f"/chats/{chat_session.pk}/", viewport=size)
    expect(page.get_by_label("Message")).to_be_focused()  # the script has run
    field = page.get_by_label("New name")
    link = page.get_by_role("main").get_by_role("link", name="Rename")
    closings: list[Callable[[], Any]] = [
        lambda: page.keyboard.press("Escape"),
        lambda: page.get_by_role("button", name="Cancel").click(),
        lambda: page.mouse.click(5, 5),
    ]
    for close in closings:
        link.click()
        expect(field).to_be_focused()
        close()
        expect(field).to_be_hidden()
        expect(link).to_be_focused()
    assert Session.objects.get().name == "Boats"


@pytest.mark.parametrize("size", SIZES)
def test_search_opens_while_the_sidebar_is_closed(
    open_page: OpenPage, user: User, size: Any
) -> None:
    page = open_page(viewport=size)
    if size == WIDE:
        sidebar(page).get_by_role("button", name="Hide the list of chats").click()
    expect(page.locator("#sidebar")).to_be_hidden()
    page.get_by_label("Message").press("Control+k")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_select_all_says_what_is_ticked(open_page: OpenPage, user: User) -> None:
    answered(user, "Boats")
    answered(user, "Trains")
    page = open_page("/chats/all/", viewport=WIDE)
    all_, boxes = page.get_by_label("Select all"), page.locator("[name=chats]")
    all_.check()
    expect(page.locator("[name=chats]:checked")).to_have_count(2)
    boxes.first.uncheck()
    expect(all_).not_to_be_checked()
    assert all_.evaluate("box => box.indeterminate")
    expect(page.get_by_role("main").get_by_role("status")).to_have_text("1 selected")
    boxes.first.check()
    expect(all_).to_be_checked()


def test_shift_ticks_all_chats_in_between(open_page: OpenPage, user: User) -> None:
    for number in range(5):
        answered(user, f"Chat {number}")
    page = open_page("/chats/all/", viewport=WIDE)
    boxes, ticked = page.locator("[name=chats]"), page.locator("[name=chats]:checked")
    boxes.nth(3).click()
    boxes.nth(1).click(modifiers=["Shift"])
    expect(ticked).to_have_count(3)
    boxes.nth(2).click(modifiers=["Shift"])
    expect(ticked).to_have_count(1)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_done_with_ticked_chats_stays_in_view(
    open_page: OpenPage, user: User, size: Any
) -> None:
    for number in range(30):
        make_session(user=user, name=f"Chat {number}", keep=True)
    page = open_page("/chats/all/", viewport=size)
    delete = page.get_by_role("main").get_by_role("button", name="Delete")
    page.get_by_label("Select Chat 0").check()
    expect(delete).to_be_in_viewport()
    delete.click()
    expect(page.get_by_text("Deleted 1 chat.")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("javascript", [True, False])
def test_several_chats_are_deleted_and_restored_together(
    open_page: OpenPage, user: User, size: Any, javascript: bool
) -> None:
    for name in ("Boats", "Trains", "Planes"):
        answered(user, name)
    page = open_page("/chats/all/", viewport=size, java_script_enabled=javascript)
    main = page.get_by_role("main")
    page.get_by_label("Select Boats").check()
    page.get_by_label("Select Trains").check()
    main.get_by_role("button", name="Delete").click()
    expect(main.get_by_text("Deleted 2 chats.")).to_be_visible()
    expect(main.locator(".rows li")).to_have_count(1)
    main.get_by_role("button", name="Undo").click()
    expect(main.get_by_text("Restored 2 chats.")).to_be_visible()
    assert Session.objects.for_user(user).count() == 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("javascript", [True, False])
def test_trash_gives_chats_back_and_forgets_them(
    open_page: OpenPage, user: User, size: Any, javascript: bool
) -> None:
    for name in ("Boats", "Trains"):
        trash_session(answered(user, name))
    page = open_page("/chats/trash/", viewport=size, java_script_enabled=javascript)
    page.get_by_role("button", name="Restore Boats").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Boats")
    page.goto("/chats/trash/")
    page.get_by_role("link", name="Delete Trains for good").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    assert [chat_session.name for chat_session in Session.objects.all()] == ["Boats"]


def test_drawer(open_page: OpenPage, user: User) -> None:
    answered(user, "Boats")
    page = open_page(viewport=NARROW)
    panel = page.locator("#sidebar")
    expect(panel).to_be_hidden()
    sidebar(page)
    for _ in range(20):
        page.keyboard.press("Tab")
        inside = "document.activeElement.closest('#sidebar') || document.activeElement.tagName"
        assert page.evaluate(f"({inside})") != "TEXTAREA", "the page behind it is out of reach"
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.get_by_role("link", name="Open the list of chats")).to_be_focused()
    sidebar(page)
    page.mouse.click(380, 400)
    expect(panel).to_be_hidden()


def test_collapsed_column_stays_collapsed(open_page: OpenPage, user: User) -> None:
    page = open_page(viewport=WIDE)
    panel = page.locator("#sidebar")
    page.get_by_role("button", name="Hide the list of chats").click()
    expect(panel).to_be_hidden()
    page.reload()
    expect(panel).to_be_hidden()
    sidebar(page)
    page.reload()
    expect(panel).to_be_visible()


def test_dot_while_an_answer_is_written(open_page: OpenPage, user: User, model: ToldModel) -> None:
    other = answered(user, "Another chat")
    page = open_page(viewport=WIDE)
    send(page, "Slowly")
    answer = model.asked().say("So far")
    entry = page.locator(".entry").filter(has_text="Slowly")
    expect(entry.locator("[data-answering]")).to_be_visible()
    expect(entry.get_by_role("link")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Another chat").click()
    expect(page).to_have_url(re.compile(str(other.pk)))
    expect(entry.locator("[data-answering]")).to_be_visible()
    answer.end()
    expect(entry.locator("[data-answering]")).to_have_count(0)


def test_list_waits_for_a_dialog_that_gives_the_focus_back(open_page: OpenPage, user: User) -> None:
    answered(user, "Boats")
    run = ask(user, "Slowly")
    page = open_page(viewport=WIDE)
    entry = open_menu(page, "Boats")
    entry.get_by_role("link", name="Rename").click()
    expect(page.get_by_label("New name")).to_be_visible()
    run.finish(AgentRun.Status.STOPPED)
    for _ in range(2):  # the first may have been requested earlier
        with page.expect_response(lambda response: "/chats/sidebar/" in response.url):
            pass
    page.keyboard.press("Escape")
    expect(entry.locator("summary")).to_be_focused()
    expect(page.locator("[data-answering]")).to_have_count(0)


def test_focus_stays_where_it_is_when_the_list_changes(open_page: OpenPage, user: User) -> None:
    answered(user, "Boats")
    run = ask(user, "Slowly")
    page = open_page(viewport=WIDE)
    menu = page.locator(".entry").filter(has_text="Boats").locator("summary")
    menu.focus()
    expect(page.locator("[data-answering]")).to_have_count(1)
    run.finish(AgentRun.Status.STOPPED)
    expect(page.locator("[data-answering]")).to_have_count(0)
    expect(menu).to_be_focused()


def test_list_stays_where_it_was_scrolled_to(open_page: OpenPage, user: User) -> None:
    for number in range(45):
        answered(user, f"Chat number {number}")
    page = open_page(viewport=WIDE)
    chats = page.locator("[data-sidebar-chats]")
    page.get_by_role("link", name="Show more").click()
    expect(chats.locator(".chat")).to_have_count(45)
    page.reload()
    chats.get_by_role("link", name="Chat number 10", exact=True).click()
    expect(page).to_have_url(re.compile("/chats/[0-9a-f-]{36}/"))
    expect(chats.locator("[aria-current]")).to_be_in_viewport()
    assert chats.evaluate("list => list.scrollTop") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_violations(open_page: OpenPage, user: User, size: Any, scheme: Any) -> None:
    shown = answered(user, "Boats")
    Session.objects.filter(pk=answered(user, "x" * 200).pk).update(pinned_at=shown.created_at)
    unanswered = ask(user, "مرحبا بالعالم")
    trashed = answered(user, "Trains")
    trash_session(trashed)
    page = open_page(viewport=size, color_scheme=scheme)

    for path in (
        "/chats/all/",
        "/chats/trash/",
        "/chats/trash/empty/",
        f"/chats/{shown.pk}/rename/",
        f"/chats/{trashed.pk}/delete-forever/",
        f"/chats/{trashed.pk}/",
        f"/chats/{shown.pk}/",
    ):
        page.goto(path)
        check_page(page, path)
    entry = open_menu(page, "Boats")
    check_page(page, "menu")
    entry.get_by_role("link", name="Rename").click()
    expect(page.get_by_label("New name")).to_be_visible()
    check_page(page, "dialog")
    page.keyboard.press("Escape")
    expect(page.get_by_label("New name")).to_be_hidden()
    expect(entry.locator("summary")).to_be_focused()  # and its drawer is open
    unanswered.finish(AgentRun.Status.STOPPED)  # nothing else ends it


@pytest.mark.parametrize("name", ["W" * 200, "👩‍👩‍👧‍👦" * 28, "ﷺ" * 200, "مرحبا " * 30, "a " * 100])
def test_no_name_makes_the_page_scroll_sideways(open_page: OpenPage, user: User, name: str) -> None:
    chat_session = answered(user)
    trashed = answered(user)
    Session.objects.update(name=name)
    trash_session(trashed)
    page = open_page(viewport={"width": 320, "height": 700})
    for path in ("", f"{chat_session.pk}/", f"{chat_session.pk}/delete/", "all/", "trash/"):
        page.goto(f"/chats/{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        sidebar(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_name_has_the_room_of_the_hidden_button(open_page: OpenPage, user: User) -> None:
    answered(user, "A name that is longer than the sidebar is wide, and so is cut off")
    page = open_page(viewport=WIDE)
    entry = sidebar(page).locator(".entry")
    name, button = entry.locator(".chat-name"), entry.locator("summary")
    page.mouse.move(1000, 500)
    room = name.evaluate("element => element.clientWidth")
    entry.hover()
    assert button.bounding_box() is not None
    page.wait_for_function(
        "room => document.querySelector('.chat-name').clientWidth < room", arg=room
    )
    page.mouse.move(1000, 500)
    button.focus()  # by the keyboard
    expect(entry.locator(".menu")).to_have_css("opacity", "1")
    assert name.evaluate("element => element.clientWidth") < room
