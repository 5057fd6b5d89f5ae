"""The sessions before and after one in the filtered list of the admin."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sessions_app.models import Session
from tests.agents_app.web.helpers import queries
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, change_url, log_in, staff

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer() -> Client:
    return log_in(staff("viewer", "view_session"))


def page_url(chat_session: Session, filters: str = "") -> str:
    url = change_url(chat_session)
    return f"{url}?{urlencode({'_changelist_filters': filters})}" if filters else url


def walk(client: Client, rel: str, start: Session, filters: str) -> list[str]:
    """The sessions at which one arrives by one link again and again."""
    url, found = page_url(start, filters), []
    while True:
        html = Page.of(client, url).html
        found.append(url.split("/")[4])
        head = html[html.index("Sessions of the list") :]
        _, there, link = head[: head.index("</nav>")].partition(f'rel="{rel}" href="')
        if not there:
            return found
        url = link.partition('"')[0].replace("&amp;", "&")


def in_list(client: Client, filters: str) -> list[str]:
    rows = Page.of(client, f"{LIST}?{filters}").links
    ids = [link.split("/")[4] for link in rows if link.startswith(LIST) and "/change/" in link]
    return list(dict.fromkeys(ids))


@pytest.mark.parametrize("filters", ["", "platform=web", "q=plan", "user=ana", "removable=no"])
@pytest.mark.parametrize("order", ["", "o=1", "o=-1", "o=3.-1"])
def test_next_and_previous_walk_the_list_as_it_is_filtered_and_ordered(
    viewer: Client, filters: str, order: str
) -> None:
    ana = User.objects.create_user("ana")
    for number in range(8):
        make_session(
            name=f"Plan {number % 3}",
            user=ana if number % 2 else None,
            platform="cli" if number % 4 == 3 else "web",
            # Ties: the key decides.
            created_at=NOON + timedelta(hours=number // 3),
        )
    phantom(created_at=NOON)
    query = "&".join(filter(None, [filters, order]))
    listed = in_list(viewer, query)
    assert len(listed) >= 4
    first, last = (Session.objects.get(pk=listed[end]) for end in (0, -1))
    assert walk(viewer, "next", first, query) == listed
    assert walk(viewer, "prev", last, query) == listed[::-1]


def test_a_session_that_the_filter_does_not_pass_any_more_has_its_place(viewer: Client) -> None:
    older, this, newer = (make_session(created_at=NOON + timedelta(hours=n)) for n in range(3))
    for chat_session in (older, newer):
        say(chat_session)
    page = Page.of(viewer, page_url(this, "messages=yes&platform=web"))
    assert page.status == 200
    page = Page.of(viewer, page_url(this, "platform=web"))
    Session.objects.filter(pk=this.pk).update(platform="cli")
    after = Page.of(viewer, page_url(this, "platform=web"))
    for neighbour in (older, newer):
        assert page_url(neighbour, "platform=web") in page.links
        assert page_url(neighbour, "platform=web") in after.links


@pytest.mark.parametrize(
    "filters",
    ["user__password__startswith=a", "created_at__gte=x", "agent__id__exact=x", "q=%00", "o=99.x"],
)
def test_filters_that_no_page_has_are_harmless(viewer: Client, filters: str) -> None:
    this, _ = make_session(), make_session()
    page = Page.of(viewer, page_url(this, filters))
    assert page.status == 200
    assert "Planning" in page.text


def test_the_way_back_leads_to_the_filtered_list(viewer: Client) -> None:
    page = Page.of(viewer, page_url(make_session(), "platform=web&o=1"))
    assert f"{LIST}?platform=web&o=1" in page.links or f"{LIST}?platform=web&amp;o=1" in page.links
    assert "Filtered list" in page.text


def test_neighbours_cost_the_same_number_of_queries_at_any_place(viewer: Client) -> None:
    sessions = [make_session() for _ in range(3)]
    url = page_url(sessions[1])
    viewer.get(url)
    few = queries(lambda: viewer.get(url))
    for _ in range(50):
        make_session()
    assert queries(lambda: viewer.get(url)) == few < 16
