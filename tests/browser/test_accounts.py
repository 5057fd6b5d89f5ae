"""Logins that expire while the user is writing, the theme, and axe on the account pages."""

from collections.abc import Callable

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.accounts.api_keys import create_key, find_key
from agents_app.models import Preferences
from sessions_app.models import Message
from tests.agents_app.chats import answered
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

PASSWORD = "secret-enough-1"
TEXT = 'One line & "another":\n\n  indented'


@pytest.fixture
def user(user: User) -> User:
    """A user whose password is hashed for the served product, not with the tests' fast hasher."""
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt-of-the-tests")
    user.save()
    return user


def log_in_by_hand(page: Page) -> None:
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Username or e-mail address").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


WITH_SCRIPT_AND_WITHOUT = pytest.mark.parametrize(
    "javascript", [True, False], ids=["script", "no script"]
)


@WITH_SCRIPT_AND_WITHOUT
@pytest.mark.parametrize("is_new", [True, False], ids=["new chat", "further message"])
def test_a_message_is_there_again_after_the_login(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool, is_new: bool
) -> None:
    path = "/chats/" if is_new else f"/chats/{answered(user).pk}/"
    before = Message.objects.count()
    page = open_page(path, java_script_enabled=javascript)
    page.context.clear_cookies(name="sessionid")
    send(page, TEXT)
    expect(page.get_by_text("Your session has expired. Log in to get your message")).to_be_visible()
    log_in_by_hand(page)
    expect(page.get_by_label("Message")).to_have_value(TEXT)
    assert page.url.endswith(path)
    assert Message.objects.count() == before, "nothing is sent by itself"
    model.will_say("Here I am.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Here I am.")
    assert Message.objects.filter(role="user").latest("created_at").text_content.split() == (
        TEXT.split()
    )
    page.goto(path)
    expect(page.get_by_label("Message")).to_have_value("")


@WITH_SCRIPT_AND_WITHOUT
def test_an_edited_message_is_there_again_after_the_login(
    open_page: OpenPage, user: User, javascript: bool
) -> None:
    path = f"/chats/{answered(user).pk}/"
    page = open_page(path, java_script_enabled=javascript)
    page.get_by_role("link", name="Edit question").click()
    page.get_by_label("Edited text").fill(TEXT)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Save and send").click()
    log_in_by_hand(page)
    expect(page.get_by_label("Message")).to_have_value(TEXT)
    assert page.url.endswith(path)


def test_a_message_that_waits_is_there_again_after_the_login(page: Page, model: ToldModel) -> None:
    send(page, "First")
    answer = model.asked().say("Let me think")
    send(page, TEXT)
    expect(page.locator("[data-queued]")).to_be_visible()
    page.context.clear_cookies(name="sessionid")
    answer.end()
    expect(page.get_by_text("Your session has expired.")).to_be_visible()
    log_in_by_hand(page)
    expect(conversation(page)).to_contain_text("Let me think")
    expect(page.get_by_label("Message")).to_have_value(TEXT)


def menu_of_a_chat(page: Page, item: str) -> None:
    entry = page.locator(".entry").filter(has_text="Other chat")
    entry.locator("summary").click()
    entry.get_by_text(item, exact=True).click()


def rename(page: Page) -> None:
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    page.get_by_label("New name").fill("Ships")
    page.get_by_role("button", name="Save").click()


def export(page: Page) -> None:
    page.locator("details.export > summary").click()
    page.get_by_role("link", name="Markdown", exact=True).click()


ACTIONS: dict[str, Callable[[Page], None]] = {
    "copy": lambda page: page.get_by_label("Copy answer").click(),
    "export": export,
    "regenerate": lambda page: page.get_by_title("Regenerate", exact=True).click(),
    "feedback": lambda page: page.get_by_title("Good answer").click(),
    "pin": lambda page: menu_of_a_chat(page, "Pin"),
    "delete": lambda page: menu_of_a_chat(page, "Delete"),
    "rename": rename,
}


@pytest.mark.parametrize(
    ("action", "javascript"),
    [(action, True) for action in ACTIONS]
    + [(action, False) for action in ("regenerate", "feedback", "export")],
)
def test_what_is_done_after_the_login_has_run_out_leads_to_the_login(
    open_page: OpenPage, user: User, action: str, javascript: bool
) -> None:
    answered(user, "Other chat")
    path = f"/chats/{answered(user).pk}/"
    page = open_page(path, java_script_enabled=javascript)
    if javascript:
        expect(page.get_by_label("Message")).to_be_focused()  # the script has run
    page.context.clear_cookies(name="sessionid")
    ACTIONS[action](page)
    expect(page.get_by_text("Your session has expired. Log in to continue.")).to_be_visible()
    log_in_by_hand(page)
    expect(page.get_by_label("Message")).to_be_visible()
    assert page.url.endswith(path)


@WITH_SCRIPT_AND_WITHOUT
def test_editing_after_the_login_has_run_out_leads_to_the_form_by_the_login(
    open_page: OpenPage, user: User, javascript: bool
) -> None:
    page = open_page(f"/chats/{answered(user).pk}/", java_script_enabled=javascript)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("link", name="Edit question").click()
    expect(page.get_by_text("Your session has expired. Log in to continue.")).to_be_visible()
    log_in_by_hand(page)
    expect(page.get_by_label("Edited text")).to_be_visible()


def test_the_way_to_the_settings_says_why_it_leads_to_the_login(page: Page) -> None:
    page.context.clear_cookies(name="sessionid")
    page.get_by_title("Your account").click()
    expect(page.get_by_text("Your session has expired. Log in to continue.")).to_be_visible()
    log_in_by_hand(page)
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_stopping_after_the_login_has_run_out_leads_to_the_login(
    page: Page, model: ToldModel
) -> None:
    send(page, "First")
    answer = model.asked().say("Let me think")
    expect(conversation(page)).to_contain_text("Let me think")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Your session has expired.")).to_be_visible()
    log_in_by_hand(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    answer.end()


def test_a_page_from_before_another_login_says_so(
    open_page: OpenPage, page: Page, user: User
) -> None:
    """The new login has another CSRF token."""
    other = open_page(f"/chats/{answered(user).pk}/", beside=page)
    page.get_by_role("button", name="Log out").click()
    log_in_by_hand(page)
    expect(page.get_by_label("Message")).to_be_visible()
    send(other, TEXT)
    expect(other.get_by_role("alert").last).to_have_text(
        "You have logged in or out since this page was opened. Reload it."
    )
    other.reload()
    expect(other.get_by_label("Message")).to_have_value(TEXT)


def test_a_new_key_can_be_copied(open_page: OpenPage, user: User) -> None:
    page = open_page("/accounts/keys/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("What the key is for").fill("laptop")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    key = page.get_by_label("New key").input_value()
    assert page.evaluate("navigator.clipboard.readText()") == key


@WITH_SCRIPT_AND_WITHOUT
def test_revoking_a_key_asks_first(open_page: OpenPage, user: User, javascript: bool) -> None:
    row, key = create_key(user, name="laptop")
    page = open_page("/accounts/keys/", java_script_enabled=javascript)
    for answer in ("Keep it", "Revoke"):
        page.get_by_role("link", name="Revoke laptop").click()
        expect(page.get_by_role("main")).to_contain_text(f"“laptop” ({row.prefix}…)")
        assert find_key(key)
        page.get_by_role("main").get_by_text(answer, exact=True).click()
    expect(page.get_by_text("Revoked “laptop”.")).to_be_visible()
    expect(page.get_by_role("link", name="Revoke laptop")).to_have_count(0)
    assert find_key(key) is None


def test_the_theme_is_there_from_the_first_paint(open_page: OpenPage, user: User) -> None:
    page = open_page("/accounts/settings/", java_script_enabled=False, color_scheme="light")
    page.get_by_label("Dark").check()
    page.get_by_label("Display name").fill("Ana")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.locator(".who")).to_have_text("Ana")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")
    page.goto("/chats/")
    expect(page.locator("html")).to_have_css("color-scheme", "dark")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768])
def test_no_violations(open_page: OpenPage, user: User, theme: str, width: int) -> None:
    Preferences.objects.create(user=user, theme=theme, display_name="Ana " * 20)
    User.objects.filter(pk=user.pk).update(email=f"{'long' * 12}@example.org")
    page = open_page(color_scheme=theme, viewport={"width": width, "height": 800})

    def check(heading: str) -> None:
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        check_page(page, heading)
        controls = page.locator("main :is(button, .button, .field input, .choices label)")
        for box in [control.bounding_box() for control in controls.all()]:
            assert box is None or box["height"] >= 44, heading

    row, _ = create_key(user, name="laptop " * 20)
    for path, heading in (
        ("settings", "Settings"),
        ("keys", "API keys"),
        (f"keys/{row.pk}/revoke", "Revoke this key?"),
        ("password/change", "Change your password"),
        ("email", "Change your e-mail address"),
        ("logins", "Log out everywhere else?"),
        ("delete", "Delete your account and data?"),
    ):
        page.goto(f"/accounts/{path}/")
        check(heading)
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_role("alert")).to_have_text("This is not your password.")
    check("Delete your account and data?")
    page.goto("/accounts/logout/")
    check("Log out?")
    page.get_by_role("main").get_by_role("button", name="Log out").click()
    check("Log in")
    page.get_by_label("Username or e-mail address").fill("ana")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    check("Log in")
    for path, heading in (
        ("password/reset", "Reset your password"),
        ("password/reset/done", "Check your e-mail"),
        ("password/reset/key/1-no", "This link is no longer valid"),
        ("confirm-email/no", "This link is no longer valid"),
        ("signup", "Accounts are created by staff"),
        ("inactive", "This account is switched off"),
    ):
        page.goto(f"/accounts/{path}/")
        check(heading)
