"""Saved filters: each member of staff saves, opens and deletes their own."""

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from sessions_app.admin.saved_filters import MAX_FILTERS, PARAMETERS, cleaned_query
from sessions_app.models import SavedFilter
from tests.sessions_app.admin.helpers import LIST, Form, Page, log_in, staff

pytestmark = pytest.mark.django_db

SAVE = f"{LIST}saved-filters/"


@pytest.fixture
def eva() -> User:
    return staff("eva", "view_session")


def form_of(page: Page, action: str) -> Form:
    return next(form for form in page.forms if form.action == action)


def test_a_filter_is_saved_listed_opened_and_deleted(eva: User) -> None:
    client = log_in(eva)
    page = Page.of(client, f"{LIST}?outcome=failed&created_at__gte=7d&p=1&e=1")
    page = page.press(None, form_of(page, SAVE), name="  Failed this week ")
    saved = SavedFilter.objects.get()
    assert (saved.user, saved.name) == (eva, "Failed this week")
    assert saved.query == "created_at__gte=7d&outcome=failed"
    assert page.messages == ["The filter “Failed this week” was saved."]
    assert page.url == f"{LIST}?{saved.query}"
    page = Page.of(client, f"{LIST}?messages=yes")
    assert f"{LIST}?created_at__gte=7d&outcome=failed" in page.links
    assert not page.problems
    page = page.press(None, form_of(page, f"{SAVE}{saved.pk}/delete/"))
    assert page.messages == ["The filter was deleted."]
    assert page.url == f"{LIST}?messages=yes"
    assert not SavedFilter.objects.exists()


def test_saving_under_a_name_that_exists_replaces_it(eva: User) -> None:
    client = log_in(eva)
    for query in ("outcome=failed", "platform="):
        page = Page.of(client, f"{LIST}?{query}")
        page.press(None, form_of(page, SAVE), name="Mine")
    assert SavedFilter.objects.get().query == "platform="


def test_nobody_sees_or_deletes_anothers(eva: User) -> None:
    other = staff("other", "view_session")
    saved = SavedFilter.objects.create(user=other, name="Private", query="outcome=failed")
    client = log_in(eva)
    page = Page.of(client, f"{LIST}?outcome=failed")
    assert "Private" not in page.html
    token = dict(form_of(page, SAVE).fields)["csrfmiddlewaretoken"]
    for key in (saved.pk, 999, "9" * 30):
        page = Page.of(client, f"{SAVE}{key}/delete/", {"csrfmiddlewaretoken": token})
        assert page.messages == ["You have no such filter."]
    assert SavedFilter.objects.get() == saved
    page = Page.of(client, f"{LIST}?flagged=yes")
    page.press(None, form_of(page, SAVE), name="Private")
    assert SavedFilter.objects.filter(name="Private").count() == 2


@pytest.mark.parametrize(
    ("name", "query", "reason"),
    [
        ("", "outcome=failed", "required"),
        ("x" * 81, "outcome=failed", "80"),
        ("a\0b", "outcome=failed", "Null"),
        ("Mine", "", "required"),
        ("Mine", "p=3", "no filter 'p'"),
        ("Mine", "outcome=", "Choose a filter first"),
        ("Mine", "outcome=failed&password__startswith=x", "no filter 'password__startswith'"),
        ("Mine", "user=" + "x" * 5000, "4000"),
    ],
)
def test_what_cannot_be_saved(eva: User, name: str, query: str, reason: str) -> None:
    client = log_in(eva)
    page = Page.of(client, f"{LIST}?outcome=failed")
    page = page.press(None, form_of(page, SAVE), name=name, query=query)
    assert page.status == 200
    assert "The filter was not saved." in page.messages[0]
    assert reason in page.messages[0]
    assert not SavedFilter.objects.exists()


def test_there_is_a_limit(eva: User) -> None:
    SavedFilter.objects.bulk_create(
        SavedFilter(user=eva, name=f"{number}", query="q=x") for number in range(MAX_FILTERS)
    )
    client = log_in(eva)
    page = Page.of(client, f"{LIST}?outcome=failed")
    refused = page.press(None, form_of(page, SAVE), name="Another")
    assert "Delete a filter first" in refused.messages[0]
    assert "replaced" in page.press(None, form_of(page, SAVE), name="7").messages[0]
    assert SavedFilter.objects.count() == MAX_FILTERS


def test_saving_needs_the_permission_to_see_the_list_and_a_post(client: Client, eva: User) -> None:
    eva.user_permissions.clear()
    client.force_login(eva)
    for url in (SAVE, f"{SAVE}1/delete/"):
        assert client.get(url).status_code == 405
        assert client.post(url, {"name": "Mine", "query": "q=x"}).status_code == 403
    client.logout()
    assert client.post(SAVE, {"name": "Mine", "query": "q=x"}).status_code == 302
    assert not SavedFilter.objects.exists()


def test_all_parameters_of_the_list_can_be_saved(admin_client: Client) -> None:
    changelist = admin_client.get(LIST, {"said": "x"}).context["cl"]
    expected = {name for spec in changelist.filter_specs for name in spec.expected_parameters()}
    assert set(PARAMETERS) - {"q", "o"} >= expected - {None}


def test_a_query_is_put_in_order() -> None:
    assert cleaned_query(QueryDict("q=a+b&p=2&outcome=&agent__id__exact=1&e=1")) == (
        "agent__id__exact=1&q=a+b"
    )
    assert cleaned_query(QueryDict("q=%00%ED%A0%80"))
