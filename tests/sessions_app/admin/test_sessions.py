"""The admin pages of sessions, messages and agents: what staff see and may do there."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents_app.models import Agent
from sessions_app.admin.formatting import as_text
from sessions_app.models import Message, Session
from tests.concurrency.helpers import Other, held_transaction
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

MESSAGES = "/admin/sessions_app/message/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return log_in(User.objects.create_superuser("root", password="secret"))


@pytest.fixture
def reviewer() -> Client:
    return log_in(staff("reviewer", "view_session", "view_message", "read_transcripts"))


def url_of(row: Session | Message) -> str:
    return f"{LIST if isinstance(row, Session) else MESSAGES}{row.pk}/change/"


def listed(page: Page) -> set[str]:
    """The ids of the sessions that the list shows."""
    parts = [link.split("/") for link in page.links if link.startswith(LIST) and "change" in link]
    return {part[4] for part in parts}


# --- The list ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LIST, MESSAGES])
def test_a_list_costs_the_same_number_of_queries_for_1_row_and_for_100(
    root: Client, path: str
) -> None:
    def add(number: int) -> None:
        user = User.objects.create_user(f"user-{number}")
        agent = Agent.objects.create(name=f"agent-{number}")
        chat_session = make_session(user=user, agent=agent, metadata={"large": "x"})
        say(chat_session, tool_calls={"large": "x"})

    add(0)
    Page.of(root, path)  # what is cached for the process
    with CaptureQueriesContext(connection) as one:
        Page.of(root, path)
    for number in range(1, 100):
        add(number)
    with CaptureQueriesContext(connection) as hundred:
        page = Page.of(root, path)
    assert "100 " in page.text
    assert len(hundred) == len(one) < 12
    rows = [query["sql"] for query in hundred]
    assert len([sql for sql in rows if sql.endswith("LIMIT 50")]) == 1
    assert not any('."metadata"' in sql or '."tool_calls"' in sql for sql in rows)


def test_the_list_shows_name_user_and_message_count(reviewer: Client) -> None:
    ana = User.objects.create_user("ana")
    chat_session = make_session(name="", user=ana, platform="web")
    say(chat_session)
    say(chat_session)
    page = Page.of(reviewer, LIST)
    assert "(no name)" in page.text
    assert "ana" in page.text
    assert '<td class="field-message_count">2</td>' in page.html
    assert not page.problems


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("removable=yes", {"Session-empty"}),
        ("removable=no", {"Session-used", "Planning", "Elsewhere"}),
        ("platform=web", {"Planning"}),
        ("platform=", {"Elsewhere"}),
        ("user=ana", {"Planning"}),
        ("user=ANA%40example.org", {"Planning"}),
        ("user=an", set()),
        ("user=%00ana", {"Planning"}),
        ("q=ana", {"Planning"}),
        ("q=ana%40example", {"Planning"}),
        ("q=plan", {"Planning"}),
        ("q=nothing+like+it", set()),
        ("q=%00", {"Session-empty", "Session-used", "Planning", "Elsewhere"}),
        ("user=ana&platform=automagik", set()),
    ],
)
def test_filters_and_search(reviewer: Client, query: str, names: set[str]) -> None:
    ana = User.objects.create_user("ana", email="ana@example.org")
    phantom(name="Session-empty")
    say(phantom(name="Session-used"))
    make_session(name="Planning", user=ana)
    make_session(name="Elsewhere", platform="")
    page = Page.of(reviewer, f"{LIST}?{query}")
    assert page.status == 200
    ids = {str(pk) for pk in Session.objects.filter(name__in=names).values_list("pk", flat=True)}
    assert listed(page) == ids
    assert not page.problems


@pytest.mark.parametrize("cut", [slice(None), slice(0, 8), slice(0, 13), slice(0, 20)])
@pytest.mark.parametrize("dashes", [True, False])
def test_search_by_id_and_by_its_beginning(reviewer: Client, cut: slice, dashes: bool) -> None:
    sought = make_session(id=uuid.UUID("deadbeef-0000-4000-8000-00000000000a"))
    make_session(id=uuid.UUID("feedbeef-0000-4000-8000-00000000000a"))
    text = str(sought.pk) if dashes else sought.pk.hex
    assert listed(Page.of(reviewer, f"{LIST}?q={text[cut]}")) == {str(sought.pk)}


@pytest.mark.parametrize("text", ["dead", "deadbeef-", "deadbeef-xyz", "f" * 40, "%25", "'x", "(("])
def test_search_for_text_that_only_resembles_an_id(reviewer: Client, text: str) -> None:
    make_session(name="Planning", id=uuid.UUID("0" * 32))
    page = Page.of(reviewer, f"{LIST}?q={text}")
    assert page.status == 200
    assert not listed(page)


@pytest.mark.parametrize("query", ["p=99", "o=9.x", "agent__id__exact=x", "e=1", "nonsense=1"])
def test_a_nonsensical_query_is_harmless(reviewer: Client, query: str) -> None:
    assert Page.of(reviewer, f"{LIST}?{query}").status == 200


def test_sessions_are_neither_added_nor_deleted_in_bulk(root: Client) -> None:
    make_session()
    page = Page.of(root, LIST)
    assert "delete_selected" not in page.html
    assert f"{LIST}add/" not in page.html
    assert root.get(f"{LIST}add/").status_code == 403


# --- One session ---------------------------------------------------------------------


def test_json_that_no_page_can_carry_is_escaped() -> None:
    assert as_text({"a": "é\ud800"}).encode() == b'{\n  "a": "\xc3\xa9\\ud800"\n}'


def test_extreme_json_is_not_shown_and_harmless() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert as_text(deep) == as_text(10**5000) == "(too deep or too long to be shown)"
    assert as_text([float("nan")]) == "[\n  NaN\n]"


def test_the_transcript_needs_its_own_permission() -> None:
    chat_session = make_session()
    message = say(chat_session, "A secret")
    clerk = log_in(staff("clerk", "view_session", "view_message"))
    page = Page.of(clerk, url_of(chat_session))
    assert page.status == 200
    assert "A secret" not in page.html
    for url in (MESSAGES, url_of(message), f"{MESSAGES}?q=secret"):
        assert clerk.get(url).status_code == 403
    reader = log_in(staff("reader", "view_session", "read_transcripts"))
    assert "A secret" in Page.of(reader, url_of(chat_session)).text


def test_renaming_writes_the_name_its_keep_mark_and_nothing_else() -> None:
    editor = log_in(staff("editor", "change_session"))
    chat_session = make_session(name="Old", platform="web", metadata={"a": 1})
    page = Page.of(editor, url_of(chat_session))
    say(chat_session)
    Session.objects.filter(pk=chat_session.pk).update(platform="mobile", metadata={"b": 2})
    before = Session.objects.values().get(pk=chat_session.pk)
    page = page.press("_save", name="New", platform="forged", user="")
    assert "changed successfully" in page.messages[0]
    after = Session.objects.values().get(pk=chat_session.pk)
    assert after == {**before, "name": "New", "keep": True}


def test_a_reviewer_changes_nothing(reviewer: Client) -> None:
    chat_session = make_session(name="Old")
    message = say(chat_session, "Old")
    reviewer.get(LIST)
    token = reviewer.cookies["csrftoken"].value
    for row in (chat_session, message):
        page = Page.of(reviewer, url_of(row))
        assert "_save" not in page.html
        assert "deletelink" not in page.html
        data = {"csrfmiddlewaretoken": token, "name": "New", "text_content": "New"}
        assert Page.of(reviewer, url_of(row), data).status == 403
        delete = url_of(row).replace("change", "delete")
        assert Page.of(reviewer, delete, {**data, "post": "yes"}).status == 403
    assert Session.objects.filter(name="Old").exists()
    assert Message.objects.filter(text_content="Old").exists()


# --- Deletion of one session ---------------------------------------------------------


def delete_url(chat_session: Session) -> str:
    return f"{LIST}{chat_session.pk}/delete/"


def test_deletion_says_how_many_messages_are_deleted_too(root: Client) -> None:
    chat_session = make_session()
    for _ in range(30):
        say(chat_session)
    page = Page.of(root, delete_url(chat_session))
    assert "with 30 messages" in page.text
    assert len([link for link in page.links if link.startswith(MESSAGES)]) <= 1  # the sidebar's
    assert not page.problems
    page = page.press(None, next(form for form in page.forms if ("post", "yes") in form.fields))
    assert "deleted successfully" in page.messages[0]
    assert not Session.objects.exists()
    assert not Message.objects.exists()


def test_deletion_needs_the_permission_to_delete_messages_if_there_are_any() -> None:
    clerk = log_in(staff("clerk", "view_session", "delete_session"))
    empty, used = make_session(), make_session()
    page = Page.of(clerk, delete_url(used))
    post = next(form for form in page.forms if ("post", "yes") in form.fields)
    say(used)
    assert "permission" in Page.of(clerk, delete_url(used)).text
    post.fields = [(name, value) for name, value in post.fields if name != "dependents"]
    assert page.press(None, post).status == 403
    page = Page.of(clerk, delete_url(empty))
    page.press(None, next(form for form in page.forms if ("post", "yes") in form.fields))
    assert list(Session.objects.all()) == [used]


def test_a_message_that_arrives_before_the_deletion_is_confirmed_prevents_it(root: Client) -> None:
    chat_session = make_session()
    page = Page.of(root, delete_url(chat_session))
    say(chat_session)
    page = page.press(None, next(form for form in page.forms if ("post", "yes") in form.fields))
    assert "Nothing was deleted" in page.messages[0]
    assert "with 1 message?" in page.text
    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_deletion_waits_for_a_message_that_is_being_stored(root: Client) -> None:
    chat_session = make_session()
    page = Page.of(root, delete_url(chat_session))
    form = next(form for form in page.forms if ("post", "yes") in form.fields)
    with held_transaction(lambda: say(chat_session)) as commit:
        deletion = Other(lambda: page.press(None, form))
        deletion.join(timeout=0.5)
        assert deletion.is_alive()
        commit()
        page = deletion.result()
    assert "Nothing was deleted" in page.messages[0]
    assert Message.objects.get().session == chat_session


# --- Messages and agents -------------------------------------------------------------


def test_messages_are_listed_in_order_and_shortened(reviewer: Client) -> None:
    chat_session = make_session(name="Planning")
    say(chat_session, "First " + "x" * 5000)
    say(chat_session, "Second", role="assistant")
    say(chat_session, "")
    say(make_session(), "Elsewhere")
    page = Page.of(reviewer, f"{MESSAGES}?session={chat_session.pk}")
    assert page.text.index("First") < page.text.index("Second") < page.text.index("(no text)")
    assert "x" * 200 not in page.html
    assert "Elsewhere" not in page.text
    assert "Second" not in Page.of(reviewer, f"{MESSAGES}?role__exact=user").text
    assert "First" not in Page.of(reviewer, f"{MESSAGES}?q=second").text


@pytest.mark.parametrize("value", ["x", str(uuid.UUID(int=5)), ""])
def test_a_message_list_of_an_unknown_session(reviewer: Client, value: str) -> None:
    assert Page.of(reviewer, f"{MESSAGES}?session={value}").status == 200


def test_messages_have_no_add_change_or_delete(root: Client) -> None:
    message = say(make_session())
    assert root.get(f"{MESSAGES}add/").status_code == 403
    assert root.get(f"{MESSAGES}{message.pk}/delete/").status_code == 403
    assert "delete_selected" not in Page.of(root, MESSAGES).html


def test_saving_an_agent_dates_the_change(root: Client) -> None:
    agent = Agent.objects.create(name="Helper", system_prompt="Be kind.")
    page = Page.of(root, f"/admin/agents_app/agent/{agent.pk}/change/")
    form = next(form for form in page.forms if "_save" in dict(form.buttons))
    values: dict[str, Any] = {"system_prompt": "Be brief.", "description": "", "config": "{}"}
    page = page.press("_save", form, active="on", **values)
    assert "changed successfully" in page.messages[0]
    before, agent = agent, Agent.objects.get(pk=agent.pk)
    assert agent.system_prompt == "Be brief."
    assert agent.updated_at > before.updated_at
    assert agent.created_at == before.created_at


def test_every_page_carries_the_content_security_policy(root: Client) -> None:
    chat_session = make_session()
    message = say(chat_session)
    agent = Agent.objects.create(name="Helper")
    for url in (
        "/admin/",
        LIST,
        url_of(chat_session),
        f"{LIST}{chat_session.pk}/history/",
        delete_url(chat_session),
        MESSAGES,
        url_of(message),
        "/admin/agents_app/agent/",
        f"/admin/agents_app/agent/{agent.pk}/change/",
    ):
        page = Page.of(root, url)
        assert page.status == 200, url
        assert not page.problems, url
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
