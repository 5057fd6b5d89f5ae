"""The reasons for which sessions stay agree with the rule."""

from itertools import product
from typing import Any

import pytest
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from sessions_app.cleanup.keep_reasons import keep_reasons
from sessions_app.models import Review, Session
from tests.factories import make_session, phantom, say
from tests.sessions_app.test_querysets import later_model  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


def reasons(chat_session: Session) -> list[str]:
    return keep_reasons([chat_session])[chat_session.pk]


def test_a_removable_session_has_no_reason_to_stay() -> None:
    assert reasons(phantom()) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "Planning"}, ["named by a person"]),
        ({"name": ""}, ["no auto-generated name"]),
        ({"name": "session-1"}, ["named by a person"]),
        ({"platform": "cli"}, ["platform cli"]),
        ({"platform": ""}, ["no platform"]),
        ({"keep": True}, ["marked keep"]),
        ({"name": "Planning", "platform": "web"}, ["named by a person", "platform web"]),
    ],
)
def test_the_columns_give_reasons(values: dict[str, Any], expected: list[str]) -> None:
    assert reasons(phantom(**values)) == expected


def test_messages_are_counted() -> None:
    chat_session = phantom()
    say(chat_session)
    assert reasons(chat_session) == ["1 message"]
    say(chat_session)
    assert reasons(chat_session) == ["2 messages"]


def test_a_row_that_refers_to_the_session_is_named() -> None:
    chat_session = phantom()
    Review.objects.create(session=chat_session)
    assert reasons(chat_session) == ["a review refers to it"]


@pytest.mark.django_db(transaction=True)
def test_a_model_added_later_is_named(later_model: type[models.Model]) -> None:  # noqa: F811
    chat_session = phantom()
    later_model._base_manager.create(about=chat_session)
    assert reasons(chat_session) == ["a note refers to it"]


def test_a_session_that_is_gone_has_no_entry() -> None:
    gone, here = phantom(), phantom()
    Session.objects.filter(pk=gone.pk).delete()
    assert keep_reasons([gone, here]) == {here.pk: []}


def test_the_reasons_agree_with_the_rule_in_one_query() -> None:
    chat_sessions = []
    for name, platform, said, reviewed, keep in product(
        ["Session-1", "Session-", "session-1", "Planning", ""],
        ["automagik", "Automagik", "web", ""],
        [False, True],
        [False, True],
        [False, True],
    ):
        chat_session = make_session(name=name, platform=platform, keep=keep)
        chat_sessions.append(chat_session)
        if said:
            say(chat_session)
        if reviewed:
            Review.objects.create(session=chat_session)
    with CaptureQueriesContext(connection) as queries:
        found = keep_reasons(chat_sessions)
    assert len(queries) == 1
    removable = {pk for pk, why in found.items() if not why}
    assert removable == set(Session.objects.removable().values_list("pk", flat=True))
    assert len(removable) == 2
    assert len(found) == len(chat_sessions)
    assert keep_reasons([]) == {}
