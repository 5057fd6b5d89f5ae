"""MessageHistory loads exactly what was stored, and creates no session unless asked to."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pytest_django import DjangoAssertNumQueries

from agents_app.conversation import codec
from agents_app.history import MessageHistory, UnknownReference
from agents_app.models import Agent
from sessions_app.models import Message, Session
from sessions_app.storable import UnstorableText
from sessions_app.writing import SessionGone
from tests.agents_app.conversation.test_codec import CALL, OUTPUT, any_json, any_text
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def chat_session(user: User) -> Session:
    return make_session(user=user)


def stored(chat_session: Session, **values: Any) -> MessageHistory:
    values = {"user_id": chat_session.user_id, "no_auto_create": True, **values}
    return MessageHistory(chat_session.pk, **values)


def texts(messages: list[ModelMessage]) -> list[object]:
    return [getattr(part, "content", None) for message in messages for part in message.parts]


# --- Sessions ------------------------------------------------------------------

NO_SESSION = [None, "", "nonsense", "1", str(uuid.UUID(int=7)), uuid.UUID(int=8)]


@pytest.mark.parametrize("session_id", NO_SESSION, ids=repr)
def test_without_auto_create_no_session_is_made(session_id: Any) -> None:
    history = MessageHistory(session_id, system_prompt="Be kind.", no_auto_create=True)
    history.add("Hi")
    history.add_response("Hello", tool_calls=[CALL], tool_outputs=[OUTPUT])
    assert history.session_id is None
    assert texts(history.all_messages()) == ["Be kind.", "Hi", None, "4", "Hello"]
    history.clear()
    assert history.all_messages() == []
    assert not Session.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize("session_id", NO_SESSION, ids=repr)
def test_with_auto_create_a_session_is_made_and_logged(
    session_id: Any, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    history = MessageHistory(session_id, user_id=user.pk)
    history.add("Hi")
    chat_session = Session.objects.get()
    assert history.session_id == chat_session.pk
    assert (chat_session.name, chat_session.platform) == (f"Session-{chat_session.pk}", "automagik")
    assert chat_session.user_id == user.pk
    if str(session_id).count("-") == 4:
        assert str(chat_session.pk) == str(session_id), "a valid id is kept"
    assert "no_auto_create=True" in caplog.text
    assert MessageHistory(chat_session.pk, user_id=user.pk).session_id == chat_session.pk
    assert Session.objects.count() == 1, "one that exists is taken"


def test_an_unknown_user_or_agent_is_refused(chat_session: Session) -> None:
    with pytest.raises(UnknownReference, match="no user 4711"):
        MessageHistory(None, user_id=4711)
    with pytest.raises(UnknownReference, match="no user 4711"):
        stored(chat_session, user_id=4711).add("Hi")
    with pytest.raises(UnknownReference, match="no agent 4711"):
        stored(chat_session).add("Hi", agent_id=4711)
    with pytest.raises(UnknownReference, match="no user ana"):
        stored(chat_session, user_id="ana").add("Hi")
    assert Session.objects.count() == 1
    assert not Message.objects.exists()


def test_an_id_may_be_text(chat_session: Session) -> None:
    assert MessageHistory(str(chat_session.pk), no_auto_create=True).session_id == chat_session.pk
    assert MessageHistory(chat_session.pk.hex, no_auto_create=True).session_id == chat_session.pk


def test_a_session_that_has_been_deleted_is_gone(chat_session: Session) -> None:
    history = stored(chat_session)
    chat_session.delete()
    with pytest.raises(SessionGone):
        history.add("Hi")


# --- Writing -------------------------------------------------------------------


def test_user_agent_and_payloads_are_stored_with_every_message(
    chat_session: Session, user: User
) -> None:
    agent = Agent.objects.get(name="simple")
    history = stored(chat_session)
    history.add("Hi", agent.pk, context={"page": 1}, channel_payload={"from": "web"})
    history.add_response("4", [CALL], [OUTPUT], agent_id=agent.pk, context={"page": 2})
    rows = Message.objects.order_by("position")
    assert {(row.user_id, row.agent_id) for row in rows} == {(user.pk, agent.pk)}
    assert [row.role for row in rows] == ["user", "assistant", "tool", "assistant"]
    assert [row.context for row in rows] == [{"page": 1}] + 3 * [{"page": 2}]
    assert rows[0].channel_payload == {"from": "web"}
    assert rows[1].tool_calls == [CALL]
    assert rows[2].tool_outputs == [OUTPUT]


def test_messages_of_a_run_are_stored_all_or_none(chat_session: Session) -> None:
    history = stored(chat_session)
    good = ModelResponse([TextPart("Hello")])
    with pytest.raises(UnstorableText):
        history.add_model_messages([good, ModelResponse([TextPart("\0")])])
    assert not Message.objects.exists()
    assert history.new_messages() == []
    history.add_model_messages([good])
    assert stored(chat_session).all_messages() == [good]


@pytest.mark.parametrize("local", [True, False])
def test_rows_are_added_with_user_and_agent(local: bool, chat_session: Session, user: User) -> None:
    agent = Agent.objects.get(name="simple")
    history = MessageHistory(None, no_auto_create=True) if local else stored(chat_session)
    prompt = history.add("Hi", agent.pk)
    answer = ModelResponse([TextPart("Hello")])
    history.add_rows(codec.to_rows([answer]), agent.pk)
    assert history.all_messages() == history.new_messages() == [prompt, answer]
    if not local:
        rows = Message.objects.order_by("position")
        assert {(row.user_id, row.agent_id) for row in rows} == {(user.pk, agent.pk)}
        with pytest.raises(UnknownReference, match="no agent 4711"):
            history.add_rows(codec.to_rows([answer]), 4711)


def test_the_name_of_the_assistant_is_kept(chat_session: Session) -> None:
    answer = stored(chat_session).add_response("Hello", assistant_name="Ana")
    assert answer.metadata == {"assistant_name": "Ana"}
    assert stored(chat_session).all_messages() == [answer]


def test_a_system_prompt_is_stored_once_and_the_latest_counts(chat_session: Session) -> None:
    history = stored(chat_session, system_prompt="Be kind.")
    history.add("Hi")
    history = stored(chat_session, system_prompt="Be kind.")
    history.add_system_prompt("Be kind.")
    history.add_response("Hello", system_prompt="Be kind.")
    assert Message.objects.filter(role="system").count() == 1
    history.add_response("Bye", system_prompt="Be brief.")
    assert Message.objects.filter(role="system").count() == 2
    assert texts(stored(chat_session).all_messages()) == ["Be brief.", "Hi", "Hello", "Bye"]
    assert texts(history.get_formatted_pydantic_messages())[0] == "Be brief."


@pytest.mark.parametrize("local", [True, False])
def test_text_that_cannot_be_stored_is_refused_everywhere(
    local: bool, chat_session: Session
) -> None:
    history = MessageHistory(None, no_auto_create=True) if local else stored(chat_session)
    attempts: list[Callable[[], object]] = [
        lambda: history.add("\0"),
        lambda: history.add("Hi", context={"a": ["\ud800"]}),
        lambda: history.add("Hi", channel_payload={"a": float("nan")}),
        lambda: history.add_response("\0"),
        lambda: history.add_response("", [{"tool_name": "f", "args": {"a": "\0"}}]),
        lambda: history.add_response("", [CALL], [{**OUTPUT, "content": {"\0": 1}}]),
        lambda: history.add_response("Hi", assistant_name="\0"),
        lambda: history.add_system_prompt("\0"),
    ]
    for attempt in attempts:
        with pytest.raises(UnstorableText):
            attempt()
    assert history.all_messages() == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "日" * 400_000,
        "‏שלום‏ \u202e",
        "<script>alert(1)</script> &amp;",
        "\r\n\t\x01",
    ],
    ids=["1 MB", "1.2 MB", "right to left", "HTML", "control"],
)
def test_any_other_text_is_stored_exactly(text: str, chat_session: Session) -> None:
    history = stored(chat_session)
    history.add(text)
    history.add_response(text, [{**CALL, "args": {"text": text}}], [{**OUTPUT, "content": text}])
    assert stored(chat_session).all_messages() == history.new_messages()
    assert Message.objects.order_by("position")[0].text_content == text


# --- Reading -------------------------------------------------------------------


def test_an_imported_conversation_is_read_with_its_tools(chat_session: Session) -> None:
    say(chat_session, "What is 2+2?")
    say(
        chat_session,
        "Four",
        role="assistant",
        tool_calls={"0": CALL},
        tool_outputs={"0": OUTPUT},
        raw_payload={"content": "Four", "assistant_name": None},
    )
    messages = stored(chat_session).all_messages()
    assert texts(messages) == ["What is 2+2?", None, "4", "Four"]
    assert stored(chat_session).get_formatted_pydantic_messages() == messages


def test_empty_answers_are_stored_but_not_sent_again(chat_session: Session) -> None:
    history = stored(chat_session)
    history.add("Hi")
    history.add_response("")
    history.add("Anybody?")
    history.add_response("", tool_calls=[CALL])
    assert Message.objects.count() == 4
    assert texts(history.all_messages()) == ["Hi", "Anybody?", None]
    assert texts(history.get_formatted_pydantic_messages()) == ["Hi", "Anybody?"]
    assert texts(history.recent(1000)) == ["Hi", "Anybody?"]


@pytest.mark.parametrize("local", [True, False])
def test_pages(local: bool, chat_session: Session) -> None:
    history = MessageHistory(None, no_auto_create=True) if local else stored(chat_session)
    for number in range(5):
        history.add(str(number))
    pages = [history.get_messages(page, 2, sort_desc=False) for page in (1, 2, 3, 4)]
    assert [texts(messages) for messages, _ in pages] == [["0", "1"], ["2", "3"], ["4"], []]
    assert {total for _, total in pages} == {5}
    pages = [history.get_messages(page, 2) for page in (1, 2, 3, 4)]
    assert [texts(messages) for messages, _ in pages] == [["4", "3"], ["2", "1"], ["0"], []]
    for page, size in ((0, 2), (1, 0)):
        with pytest.raises(ValueError, match="counted from 1"):
            history.get_messages(page, size)
    assert history.get_messages(10**30, 10**30)[0] == []
    assert len(history.get_messages(1, 10**30)[0]) == len(history.get_messages(1, 1000)[0])


@pytest.mark.parametrize("local", [True, False])
def test_the_newest_turns_are_sent(local: bool, chat_session: Session) -> None:
    history = MessageHistory(None, no_auto_create=True) if local else stored(chat_session)
    history.add_system_prompt("Be kind.")
    for number in range(120):
        history.add(f"Q{number}")
        history.add_response(f"A{number}")
    assert texts(history.get_formatted_pydantic_messages(3)) == ["Be kind.", "Q119", "A119"]
    assert len(history.get_formatted_pydantic_messages(500)) == 241
    assert texts(history.recent(31)) == ["Be kind.", "Q118", "A118", "Q119", "A119"]
    assert len(history.recent(100_000)) == 241
    assert history.recent(0) == history.recent(7) != []


def test_what_was_said_before_a_message(chat_session: Session) -> None:
    say(chat_session, "Hi")
    say(chat_session, "Hello", role="assistant")
    asked = say(chat_session, "How are you?")
    say(chat_session, "Fine", role="assistant")
    assert texts(stored(chat_session).before(asked)) == ["Hi", "Hello"]


def test_a_long_chat_is_not_loaded_as_a_whole(
    chat_session: Session, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    Message.objects.bulk_create(
        Message(
            session=chat_session,
            position=position,
            role="user" if position % 2 else "assistant",
            text_content=f"{position} " * 20,
        )
        for position in range(1, 10_001)
    )
    history = stored(chat_session)
    with django_assert_num_queries(3):  # two batches of rows, and the system prompt
        messages = history.recent(2000)
    assert 20 < len(messages) < 100
    assert texts(messages)[-1] == "10000 " * 20


def test_json_round_trip(chat_session: Session) -> None:
    history = stored(chat_session, system_prompt="Be kind.")
    history.add("Hi")
    history.add_response("4", [CALL], [OUTPUT])
    copy = MessageHistory.from_json(history.to_json())
    assert copy.session_id is None
    assert copy.all_messages() == history.all_messages()
    assert MessageHistory.from_json(copy.to_json().encode()).to_json() == copy.to_json()
    assert json.loads(copy.to_json())[1]["parts"][0]["content"] == "Hi"
    for nonsense in ("", "{}", "[1]"):
        with pytest.raises(ValueError, match="validation error"):
            MessageHistory.from_json(nonsense)


def test_from_model_messages(chat_session: Session) -> None:
    history = stored(chat_session)
    history.add("Hi")
    local = MessageHistory.from_model_messages(history.all_messages())
    assert local.all_messages() == history.all_messages()
    assert local.new_messages() == []
    local.add("More")
    assert Message.objects.count() == 1


def test_queries(
    chat_session: Session,
    django_assert_num_queries: DjangoAssertNumQueries,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):  # does the session exist?
        history = stored(chat_session)
    with django_assert_num_queries(0):
        MessageHistory(None, no_auto_create=True).add("Hi")
    with django_assert_max_num_queries(6):  # the user; savepoint, lock, position, insert, release
        history.add("Hi")
    with django_assert_num_queries(1):
        history.all_messages()


# --- Any sequence of calls -----------------------------------------------------

identifiers = st.text("abc", min_size=1, max_size=3)
some_text = st.text(max_size=20) | any_text
some_json = st.text(max_size=5) | any_json
tool_calls = st.fixed_dictionaries(
    {"tool_name": identifiers, "args": st.dictionaries(identifiers, some_json, max_size=2)},
    optional={"tool_call_id": identifiers},
)
tool_outputs = st.fixed_dictionaries(
    {"tool_name": identifiers, "content": some_json}, optional={"tool_call_id": identifiers}
)
requests = st.builds(
    ModelRequest,
    st.lists(
        st.builds(UserPromptPart, some_text)
        | st.builds(SystemPromptPart, some_text)
        | st.builds(ToolReturnPart, identifiers, some_json, identifiers),
        max_size=2,
    ),
)
responses = st.builds(
    ModelResponse,
    st.lists(
        st.builds(TextPart, some_text)
        | st.builds(ThinkingPart, some_text)
        | st.builds(
            ToolCallPart,
            identifiers,
            st.none() | some_text | st.dictionaries(identifiers, some_json, max_size=2),
            identifiers,
        ),
        max_size=2,
    ),
)
calls: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("add"), st.fixed_dictionaries({"content": some_text})),
    st.tuples(
        st.just("add_response"),
        st.fixed_dictionaries(
            {"content": some_text},
            optional={
                "tool_calls": st.lists(tool_calls, max_size=2),
                "tool_outputs": st.lists(tool_outputs, max_size=2),
                "system_prompt": some_text,
                "assistant_name": some_text,
                "context": st.dictionaries(identifiers, some_json, max_size=2),
            },
        ),
    ),
    st.tuples(st.just("add_system_prompt"), st.fixed_dictionaries({"content": some_text})),
    st.tuples(
        st.just("add_model_messages"),
        st.fixed_dictionaries({"messages": st.lists(requests | responses, max_size=3)}),
    ),
    st.tuples(st.just("clear"), st.just({})),
)


def without_times(messages: list[ModelMessage]) -> Any:
    """Comparable between two histories written one after the other."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            # Generated ids differ too.
            kept = {key: strip(item) for key, item in value.items() if key != "timestamp"}
            if str(kept.get("tool_call_id", "")).startswith("call-"):
                del kept["tool_call_id"]
            return kept
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(ModelMessagesTypeAdapter.dump_python(messages))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=st.lists(calls, max_size=6))
def test_any_sequence_of_calls_is_stored_as_it_is_kept_in_memory(
    sequence: list[tuple[str, dict[str, Any]]], user: User
) -> None:
    chat_session = make_session(user=user)
    first = stored(chat_session)
    local = MessageHistory(None, no_auto_create=True)
    expected: list[ModelMessage] = []
    for name, arguments in sequence:
        outcomes = []
        for history in (first, local):
            try:
                result = getattr(history, name)(**arguments)
                outcomes.append("kept")
            except UnstorableText:
                outcomes.append("refused")
                continue
            if name == "clear":
                expected = []
            elif history is first and name != "add_system_prompt":
                expected += arguments.get("messages", [result])
        assert outcomes[0] == outcomes[1]

    fresh = stored(chat_session)
    everything, total = fresh.get_messages(1, 1000, sort_desc=False)
    assert everything == first.new_messages(), "part for part"
    assert all(message in everything for message in expected)
    assert total == Message.objects.filter(session=chat_session).count()
    reads: list[Callable[[MessageHistory], list[ModelMessage]]] = [
        lambda history: history.all_messages(),
        lambda history: history.get_messages(1, 1000)[0],
        lambda history: history.get_formatted_pydantic_messages(3),
        lambda history: history.recent(40),
    ]
    for read in reads:
        assert without_times(read(fresh)) == without_times(read(local))


def test_the_database_has_what_was_added(chat_session: Session) -> None:
    """In case memory and database, compared above, share a mistake."""
    request = ModelRequest([UserPromptPart("Hi")], instructions="Be kind.")
    response = ModelResponse([TextPart("Yo"), ToolCallPart("f", {"x": 1e23, "y": 1.0}, "c")])
    returned = ModelRequest([ToolReturnPart("f", [1e300, {"a": None}], tool_call_id="c")])
    stored(chat_session).add_model_messages([request, response, returned])
    assert stored(chat_session).all_messages() == [request, response, returned]
    assert replace(response, parts=[TextPart("No")]) not in stored(chat_session).all_messages()
