"""Logins that run out while somebody writes, the theme, and the account pages through axe."""

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.models import Preferences
from sessions_app.models import Message
from tests.agents_app.chats import answered
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "secret-enough-1"
TEXT = 'One line & "another":\n\n  indented'


@pytest.fixture
def user(user: User) -> User:
    """With a password that the served product can check; the tests' own hasher is a fast one."""
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt-of-the-tests")
    user.save()
    return user


def log_in_by_hand(page: Page) -> None:
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Username or e-mail address").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("is_new", [True, False], ids=["new chat", "further message"])
def test_a_message_is_there_again_after_the_login(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool, is_new: bool
) -> None:
    path = "/chats/" if is_new else f"/chats/{answered(user).pk}/"
    before = Message.objects.count()
    page = open_page(path, java_script_enabled=javascript)
    page.context.clear_cookies(name="sessionid")
    send(page, TEXT)
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

    for path, heading in (
        ("settings", "Settings"),
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
        ("password/reset/done", "Look into your mail"),
        ("password/reset/key/1-no", "This link is no longer valid"),
        ("confirm-email/no", "This link is no longer valid"),
        ("signup", "Accounts are made by staff"),
        ("inactive", "This account is switched off"),
    ):
        page.goto(f"/accounts/{path}/")
        check(heading)
