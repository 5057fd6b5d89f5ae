"""The account pages: login, passwords, e-mail, settings, deletion of an account."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from agents_app.models import Agent, AgentRun, ImportedUser, Preferences
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, make_user
from tests.agents_app.web.helpers import html

pytestmark = pytest.mark.django_db

PASSWORD = "secret-enough-1"
NEW_PASSWORD = "another-good-2"


@pytest.fixture
def user(agent: Agent) -> User:
    user = make_user()
    User.objects.filter(pk=user.pk).update(email="ana@example.org")
    user.refresh_from_db()
    return user


@pytest.fixture
def page(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def sends_email(settings: Any) -> None:
    settings.SENDS_EMAIL = True


def log_in(client: Client, name: str, password: str = PASSWORD, **fields: str) -> Any:
    return client.post("/accounts/login/", {"username": name, "password": password, **fields})


def is_logged_in(client: Client) -> bool:
    return client.get("/chats/").status_code == 200


# --- Login -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ana", "ana@example.org", "ANA@example.org"])
def test_login_by_name_or_email(client: Client, user: User, name: str) -> None:
    assert log_in(client, name)["Location"] == "/"
    assert is_logged_in(client)


def test_names_that_differ_in_case_only(client: Client, user: User) -> None:
    User.objects.create_user("ANA", password=NEW_PASSWORD)
    assert log_in(client, "ana").status_code == 302
    assert client.get("/chats/").context["user"] == user


def test_a_refused_login_reveals_nothing(client: Client, user: User) -> None:
    User.objects.create_user("off", "off@example.org", PASSWORD, is_active=False)
    texts = {
        re.sub(r'value="[^"]*"', "", html(log_in(client, name, "wrong")))
        for name in ("ana", "nobody", "ana@example.org", "nobody@example.org", "off")
    }
    assert len(texts) == 1
    assert "correct username and password" in texts.pop()


def test_logins_are_limited(client: Client, user: User) -> None:
    for _ in range(5):
        log_in(client, "ana", "wrong")
    assert "Too many failed attempts" in html(log_in(client, "ana"))
    assert not is_logged_in(client)
    assert log_in(client, "somebody else", "wrong").status_code == 200
    for _ in range(30):
        response = log_in(client, "nobody", "wrong")
    assert response.status_code == 429
    assert "Too many attempts" in html(response)


def test_limits_count_the_clients_of_a_trusted_proxy(
    client: Client, user: User, settings: Any
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for number in range(31):
        response = client.post(
            "/accounts/login/",
            {"username": f"nobody-{number}", "password": "wrong"},
            headers={"X-Forwarded-For": f"1.1.1.1, 10.0.0.{number}"},
        )
    assert response.status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:1"])
def test_logins_do_not_redirect_to_other_sites(client: Client, user: User, target: str) -> None:
    assert log_in(client, "ana", next=target)["Location"] == "/"
    User.objects.update(is_staff=True)
    response = client.get("/admin/login/", {"next": target})
    assert response["Location"] == "/admin/"


def test_the_admin_logs_in_through_the_same_page(client: Client, user: User) -> None:
    wanted = "/admin/agents_app/agent/?q=x"
    response = client.get(wanted, follow=True)
    assert "Log in" in html(response)
    User.objects.update(is_staff=True, is_superuser=True)
    next_url = re.search(r'name="next" value="([^"]+)"', html(response))
    assert next_url
    assert log_in(client, "ana", next=next_url[1])["Location"] == wanted


def test_users_without_access_to_the_admin_get_403(page: Client) -> None:
    response = page.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "does not have permission" in html(response)


def test_log_out(page: Client) -> None:
    assert page.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert not is_logged_in(page)


# --- Passwords ---------------------------------------------------------------


def link_in(text: object) -> str:
    found = re.search(r"https?://testserver(/\S+)", str(text))
    assert found
    return found[1]


def test_reset_of_a_forgotten_password(client: Client, user: User) -> None:
    other = Client()
    other.force_login(user)
    assert "Forgot your password?" in html(client.get("/accounts/login/"))
    client.post("/accounts/password/reset/", {"email": "ana@example.org"})
    [message] = mail.outbox
    assert message.to == ["ana@example.org"]
    link = link_in(message.body)
    page = client.get(link, follow=True)
    assert "Choose a new password" in html(page)
    url = page.redirect_chain[-1][0]
    refused = client.post(url, {"password1": "short", "password2": "short"})
    assert "at least 8 characters" in html(refused)
    client.post(url, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert log_in(client, "ana", NEW_PASSWORD).status_code == 302
    assert not is_logged_in(other)
    assert "no longer valid" in html(Client().get(link, follow=True))


def test_a_reset_reveals_nothing(client: Client, user: User) -> None:
    imported = User.objects.create_user("imported", "imported@example.org")
    ImportedUser.objects.create(user=imported)
    User.objects.create_user("off", "off@example.org", PASSWORD, is_active=False)
    answers = set()
    for email in ("ana@example.org", "nobody@example.org", "imported@example.org"):
        response = client.post("/accounts/password/reset/", {"email": email}, follow=True)
        answers.add(html(response))
    client.post("/accounts/password/reset/", {"email": "off@example.org"})
    assert len(answers) == 1
    assert [message.to for message in mail.outbox] == [["ana@example.org"]]
    assert "correct username and password" in html(log_in(client, "imported", "x"))


def test_without_mail_none_is_offered(client: Client, settings: Any, user: User) -> None:
    settings.SENDS_EMAIL = False
    assert "Forgot your password?" not in html(client.get("/accounts/login/"))
    assert "sends no e-mail" in html(client.get("/accounts/password/reset/"))


def test_change_of_the_password(page: Client, user: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(user)
    url = "/accounts/password/change/"
    new = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert "not your password" in html(page.post(url, {"oldpassword": "wrong", **new}))
    assert is_logged_in(elsewhere)
    response = page.post(url, {"oldpassword": PASSWORD, **new})
    assert response["Location"] == "/accounts/settings/"
    assert is_logged_in(page)
    assert not is_logged_in(elsewhere)


def test_log_out_everywhere_else(page: Client, user: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(user)
    refused = page.post("/accounts/logins/", {"password": "wrong"})
    assert "not your password" in html(refused)
    assert is_logged_in(elsewhere)
    page.post("/accounts/logins/", {"password": PASSWORD})
    assert is_logged_in(page)
    assert not is_logged_in(elsewhere)
    assert log_in(elsewhere, "ana").status_code == 302


# --- E-mail and sign-up ------------------------------------------------------


def test_another_email_address_counts_once_it_is_confirmed(page: Client, user: User) -> None:
    url = "/accounts/email/"
    asked = page.post(url, {"email": "ana@example.com", "action_add": ""}, follow=True)
    assert "Confirm your password" in html(asked)
    assert not mail.outbox
    page.post(asked.redirect_chain[-1][0], {"password": PASSWORD})
    page.post(url, {"email": "ana@example.com", "action_add": ""})
    user.refresh_from_db()
    assert user.email == "ana@example.org"
    link = link_in(mail.outbox[-1].body)
    assert "is waiting for confirmation" in html(page.get(url))
    assert "Confirm" in html(page.get(link))
    page.post(link)
    user.refresh_from_db()
    assert user.email == "ana@example.com"
    assert EmailAddress.objects.get().email == "ana@example.com"


def test_sign_up_is_closed_unless_a_setting_opens_it(client: Client, settings: Any) -> None:
    new = {"username": "bo", "email": "bo@example.org", "password1": NEW_PASSWORD}
    assert "Create an account" not in html(client.get("/accounts/login/"))
    assert "created by staff" in html(client.post("/accounts/signup/", new))
    assert not User.objects.exists()
    settings.SIGN_UP = True
    assert "Create an account" in html(client.get("/accounts/login/"))
    assert client.post("/accounts/signup/", new).status_code == 302
    assert is_logged_in(client)


def test_signing_up_does_not_reveal_known_addresses(user: User, settings: Any) -> None:
    settings.SIGN_UP = True
    new = {"email": user.email, "password1": NEW_PASSWORD}
    assert Client().post("/accounts/signup/", {"username": "x", **new}).status_code == 302


# --- Settings ----------------------------------------------------------------


def test_name_and_theme_show_on_every_page(page: Client, user: User) -> None:
    assert "data-theme" not in html(page.get("/chats/"))
    page.post("/accounts/settings/", {"display_name": "Ana Ölund", "theme": "dark"})
    for url in ("/chats/", "/accounts/settings/"):
        shown = html(page.get(url))
        assert '<html lang="en" data-theme="dark">' in shown
        assert "<bdi>Ana Ölund</bdi></a>" in shown
    page.post("/accounts/settings/", {"display_name": "", "theme": ""})
    shown = html(page.get("/chats/"))
    assert "data-theme" not in shown
    assert "<bdi>ana</bdi></a>" in shown


def test_pages_without_a_user_have_the_theme_of_the_last_one(page: Client, user: User) -> None:
    def shown() -> str:
        page.post("/accounts/logout/")
        return html(page.get("/accounts/login/"))

    def log_in() -> None:
        page.post("/accounts/login/", {"username": user.username, "password": PASSWORD})

    page.post("/accounts/theme/", {"theme": "dark"})
    assert '<html lang="en" data-theme="dark">' in shown()
    assert '<html lang="en" data-theme="dark">' in html(page.get("/no-such-page/"))
    log_in()
    page.post("/accounts/settings/", {"display_name": "", "theme": "light"})
    assert '<html lang="en" data-theme="light">' in shown()
    page.cookies["theme"] = "pink"
    assert "data-theme" not in shown()
    log_in()
    assert '<html lang="en" data-theme="light">' in shown()
    log_in()
    page.post("/accounts/theme/", {"theme": ""})
    assert "data-theme" not in shown()


def test_the_admins_switch_stores_the_theme_and_nothing_else(page: Client, user: User) -> None:
    page.post("/accounts/settings/", {"display_name": "Ana", "theme": ""})
    for theme in ("dark", "light", ""):
        assert page.post("/accounts/theme/", {"theme": theme}).status_code == 204
        assert list(Preferences.objects.values_list("display_name", "theme")) == [("Ana", theme)]
    assert page.post("/accounts/theme/", {"theme": "pink"}).status_code == 400
    assert page.get("/accounts/theme/").status_code == 405
    page.logout()
    assert page.post("/accounts/theme/", {"theme": "dark"}).status_code == 303
    assert Preferences.objects.get().theme == ""


@pytest.mark.parametrize(
    "fields", [{"theme": "pink"}, {"display_name": "a" * 101}, {"display_name": "\x00"}]
)
def test_invalid_settings_are_refused(page: Client, fields: dict[str, str]) -> None:
    response = page.post("/accounts/settings/", fields)
    assert response.status_code == 400
    assert 'role="alert"' in html(response)
    assert not Preferences.objects.exists()


def test_preferences_cost_no_query(
    page: Client, user: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    Preferences.objects.create(user=user, display_name="Ana", theme="dark")
    # The login's session, the user with their preferences, the sidebar's chats, those pinned.
    with django_assert_num_queries(4):
        page.get("/accounts/logins/")


# --- Deletion ----------------------------------------------------------------


def test_deleting_the_account_deletes_what_is_theirs(page: Client, user: User) -> None:
    trashed = answered(user)
    Session.objects.filter(pk=trashed.pk).update(trashed_at=trashed.created_at)
    answered(user)
    stranger = make_user("bo")
    others = answered(stranger)
    Message.objects.filter(session=others).update(user=user)
    Preferences.objects.create(user=user, theme="dark")

    assert "not your password" in html(page.post("/accounts/delete/", {"password": "wrong"}))
    assert User.objects.filter(pk=user.pk).exists()
    response = page.post("/accounts/delete/", {"password": PASSWORD})

    assert "have been deleted" in html(page.get(response["Location"]))
    assert list(User.objects.all()) == [stranger]
    assert list(Session.objects.all()) == [others]
    assert {message.user for message in Message.objects.all()} == {None}
    assert all(run.session == others for run in AgentRun.objects.all())
    assert not Preferences.objects.exists()
    assert not is_logged_in(page)


def test_the_last_superuser_stays(page: Client, user: User) -> None:
    User.objects.update(is_superuser=True)
    User.objects.create_superuser("asleep", is_active=False)
    answered(user)
    refused = page.post("/accounts/delete/", {"password": PASSWORD})
    assert "only superuser" in html(refused)
    assert Session.objects.exists()
    User.objects.create_superuser("second")
    page.post("/accounts/delete/", {"password": PASSWORD})
    assert not User.objects.filter(pk=user.pk).exists()


def test_passwords_cannot_be_guessed_in_a_login_left_open(page: Client) -> None:
    answers = [page.post("/accounts/delete/", {"password": "x"}).status_code for _ in range(11)]
    assert answers == [400] * 10 + [429]
