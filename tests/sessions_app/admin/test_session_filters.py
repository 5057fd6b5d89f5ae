"""The filters of the list of sessions."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from agents_app.models import Feedback
from sessions_app.models import Message, Review, Session
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk() -> Client:
    return log_in(staff("clerk", "view_session"))


def names(page: Page) -> set[str]:
    """The names of the sessions that the list shows."""
    assert page.status == 200
    assert "e=1" not in page.url, "the filter was refused"
    parts = [link.split("/") for link in page.links if link.startswith(LIST) and "change" in link]
    ids = {part[4] for part in parts}
    return set(Session.objects.filter(pk__in=ids).values_list("name", flat=True))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("messages=yes", {"good", "bad", "plain"}),
        ("messages=no", {"Session-empty"}),
        ("outcome=failed", {"bad"}),
        ("outcome=done", {"good"}),
        ("outcome=none", {"plain", "Session-empty"}),
        ("outcome=stopped", set()),
        ("reviewed=yes", {"good"}),
        ("reviewed=no", {"bad", "plain", "Session-empty"}),
        ("flagged=yes", {"bad"}),
        ("verdict=good", {"good"}),
        ("verdict=bad", {"bad"}),
        ("feedback=good", {"good"}),
        ("feedback=bad", {"bad"}),
        ("feedback=any", {"good", "bad"}),
        ("verdict=bad&flagged=yes&feedback=any&messages=yes", {"bad"}),
        ("verdict=good&flagged=yes", set()),
        ("verdict=&messages=&created_at__gte=&said=", {"good", "bad", "plain", "Session-empty"}),
    ],
)
def test_each_filter(clerk: Client, query: str, expected: set[str]) -> None:
    good = make_session(name="good", last_run_status="done")
    bad = make_session(name="bad", last_run_status="failed")
    for chat_session, is_good in ((good, True), (bad, False)):
        say(chat_session)
        for _ in range(2):
            answer = say(chat_session, role=Message.Role.ASSISTANT)
            Feedback.objects.create(message=answer, is_good=is_good)
    say(make_session(name="plain"))
    phantom(name="Session-empty")
    Review.objects.create(session=good, verdict="good", reviewed_at=timezone.now())
    Review.objects.create(session=bad, verdict="bad", flagged=True)
    page = Page.of(clerk, f"{LIST}?{query}")
    assert names(page) == expected
    assert not page.problems


def test_the_platforms_that_are_offered(clerk: Client) -> None:
    def offered(query: str = "") -> set[str]:
        page = Page.of(clerk, f"{LIST}{query}")
        return {link for link in page.links if link.startswith("?platform")}

    assert offered() == {"?platform=automagik"}
    make_session(platform="web")
    make_session(platform="")
    assert offered() == {"?platform=", "?platform=automagik", "?platform=web"}
    assert "?platform=gone" in offered("?platform=gone"), "the chosen one is always there"


def test_days_begin_at_midnight_in_the_time_zone_shown(clerk: Client, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    midnight = datetime(2026, 3, 9, 15, tzinfo=UTC)  # in Tokyo, of the 10th
    before = make_session(name="before", created_at=midnight - timedelta(seconds=1))
    make_session(name="after", created_at=midnight)
    assert before.created_at.day == 9
    ranges = {
        "created_at__gte=2026-03-10": {"after"},
        "created_at__lt=2026-03-10": {"before"},
        "updated_at__gte=2026-03-09&updated_at__lt=2026-03-10": {"before"},
        "created_at__gte=2026-03-10+00%3A00%3A00%2B00%3A00": set(),
        "created_at__lt=2026-03-10T00:00": {"before"},
    }
    for query, expected in ranges.items():
        assert names(Page.of(clerk, f"{LIST}?{query}")) == expected, query
    page = Page.of(clerk, f"{LIST}?created_at__gte=2026-03-10&created_at__lt=2026-03-11")
    assert "Created: from 2026-03-10 before 2026-03-11" in page.text


@pytest.mark.parametrize("field", ["created_at", "updated_at"])
def test_the_last_days(clerk: Client, field: str) -> None:
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (0, 1, 7, 8, 30, 31):
        make_session(name=f"{days}", created_at=today - timedelta(days=days))
    for since, expected in (
        ("today", {"0"}),
        ("7d", {"0", "1", "7"}),
        ("30d", {"0", "1", "7", "8", "30"}),
    ):
        page = Page.of(clerk, f"{LIST}?{field}__gte={since}")
        assert names(page) == expected
        others = {f"?{field}__gte={other}" for other in ("today", "7d", "30d")}
        assert others <= set(page.links)


def test_a_range_keeps_the_other_filters(clerk: Client) -> None:
    page = Page.of(clerk, f"{LIST}?messages=yes&q=plan&created_at__gte=7d&p=1")
    form = next(
        form for form in page.forms if "created_at__lt" in dict(form.fields) and not form.buttons
    )
    fields = dict(form.fields)
    assert fields["messages"] == "yes"
    assert fields["q"] == "plan"
    assert "p" not in fields
    page = page.press(None, form, created_at__gte="2026-01-01", created_at__lt="")
    assert "created_at__gte=2026-01-01" in page.url
    assert "messages=yes" in page.url
    assert page.status == 200


_ANY = ["x", "\0", "9" * 30, "\\", "é\u202e", "x" * 5000]
_TIMES = [
    *("2026-13-45", "0000-00-00", "-1", "24:00", "7d\0"),
    *("0001-01-01 00:00+14:00", "9999-12-31T23:59:59-12:00", "9999-12-31"),
]
_WORDS = [
    *("and or not", '-"a b', "a:*", "NEAR(a b)", "a OR", "OR", "- -", "or -x", "'", '"', "%", "(("),
    " ".join("ab" for _ in range(1500)),
]


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        *((name, ["x", "\0"]) for name in ("removable", "messages", "reviewed", "flagged")),
        *((name, ["x", "\0"]) for name in ("outcome", "verdict", "feedback", "agent__isnull")),
        *((name, _ANY) for name in ("platform", "agent__id__exact", "user", "q", "o", "p")),
        *((name, _ANY + _TIMES) for name in ("created_at__gte", "updated_at__lt")),
        ("said", _ANY + _WORDS),
    ],
)
def test_hand_made_values_are_harmless(
    admin_client: Client, parameter: str, values: list[str]
) -> None:
    say(make_session())
    for value in values:
        response = admin_client.get(LIST, {parameter: value}, follow=True)
        assert response.status_code in {200, 400}, value
    assert (
        admin_client.get(f"{LIST}?{parameter}=yes&{parameter}=no", follow=True).status_code == 200
    )


def test_filters_are_named_and_listed_for_those_who_see_them(clerk: Client) -> None:
    page = Page.of(clerk, f"{LIST}?outcome=failed&user=ana")
    assert "Last answer: Failed" in page.text
    assert "User: ana" in page.text
    assert "Clear all filters" in page.text
    assert "Message text" not in page.text
