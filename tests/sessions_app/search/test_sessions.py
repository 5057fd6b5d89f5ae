"""The search for sessions finds what `icontains` finds, and finds it by indexes."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from sessions_app.models import Session
from sessions_app.search.sessions import search_sessions
from tests.factories import make_session, phantom

USER_FIELDS = ["username", "email"]
# Few characters, so that words are often found; some have no or another upper case.
LETTERS = "aAbBßéÉιІ1_%\\-日本語\U0001f600"

pytestmark = pytest.mark.django_db


def found(text: str) -> set[str]:
    sessions = search_sessions(Session.objects.all(), text, user_fields=USER_FIELDS)
    return set(sessions.values_list("name", flat=True))


class EqualToIcontains(TestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.text(f"{LETTERS} \n'\"", max_size=12), max_size=5),
        st.lists(st.text(LETTERS, min_size=1), max_size=3),
    )
    def test_words_of_any_length_in_names_of_any_kind(
        self, names: list[str], words: list[str]
    ) -> None:
        ana = User.objects.create_user("aab", email="bba@example.org")
        Session.objects.bulk_create(
            Session(name=name, user=ana if number % 2 else None)
            for number, name in enumerate([*names, *words])
        )
        expected = Session.objects.all()
        for word in words:
            in_user = Q(user__username__icontains=word) | Q(user__email__icontains=word)
            expected = expected.filter(Q(name__icontains=word) | in_user)
        sought = search_sessions(Session.objects.all(), " ".join(words), user_fields=USER_FIELDS)
        assert set(sought) == set(expected)


def test_quotes_hold_words_together() -> None:
    make_session(name="Plan the trip")
    make_session(name="The trip, a plan")
    assert found('"plan the"') == {"Plan the trip"}
    assert found("plan the") == {"Plan the trip", "The trip, a plan"}


def test_an_id_is_found_in_names_too() -> None:
    key = uuid.UUID("deadbeef-0000-4000-8000-00000000000a")
    make_session(id=key, name="Found by id")
    make_session(name=f"Copy of {key}")
    assert found(str(key)) == {"Found by id", f"Copy of {key}"}


def test_the_words_of_a_user_are_looked_for_where_that_is_allowed() -> None:
    make_session(name="Hers", user=User.objects.create_user("ana", email="ana@example.org"))
    assert found("ana") == found("EXAMPLE.org") == {"Hers"}
    assert not search_sessions(Session.objects.all(), "ana", user_fields=[]).exists()


def test_more_users_than_a_query_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.search.sessions._USERS", 2)
    for number in range(3):
        make_session(name=f"{number}", user=User.objects.create_user(f"ana-{number}"))
    assert found("ana") == {"0", "1", "2"}


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="an index of PostgreSQL")
@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("quarterly", {"sessions_name_trigrams"}),
        ("quarterly report", {"sessions_name_trigrams"}),
        ("deadbeef", {"sessions_name_trigrams", "sessions_pkey"}),
        ("ana", {"sessions_name_trigrams", "sessions_by_user"}),
    ],
)
def test_each_part_of_a_search_is_looked_up_in_an_index(text: str, indexes: set[str]) -> None:
    ana = User.objects.create_user("ana")
    Session.objects.bulk_create(Session(name=f"Topic {n}") for n in range(500))
    make_session(name="The quarterly report", user=ana)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions")
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = search_sessions(Session.objects.all(), text, user_fields=USER_FIELDS).explain()
    assert "Seq Scan on sessions" not in plan
    for index in indexes:
        assert f"Index Scan on {index}" in plan


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="an index of PostgreSQL")
def test_a_word_of_very_many_names_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.search.sessions._COMMON", 300)
    for _ in range(400):
        phantom()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions")
    common, rare = (
        str(search_sessions(Session.objects.all(), text, user_fields=[]).query)
        for text in ("session", "zebra")
    )
    assert "name_trigrams" not in common
    assert "name_trigrams" in rare


def test_a_name_of_any_length_is_found() -> None:
    name = "日本語" * 50_000 + "end"
    make_session(name=name)
    assert found("語end") == {name}
