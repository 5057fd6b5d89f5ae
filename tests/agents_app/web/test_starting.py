"""Starting a chat: which requests create one, and which do not."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agents_app.models import Agent, AgentRun
from agents_app.services import create_session, send_message
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, ask, make_agent, make_user
from tests.agents_app.web.helpers import (
    EVENTS,
    FRAME,
    JSON,
    chat_url,
    html,
    new_chat,
    read_events,
    rows,
    run_url,
    shown,
)

pytestmark = pytest.mark.django_db(transaction=True)

Encoder = Callable[[dict[str, Any]], tuple[bytes, str]]


def test_home_leads_to_the_list(page: Client) -> None:
    assert page.get("/")["Location"] == "/chats/"


def test_opening_pages_writes_nothing(page: Client, user: User) -> None:
    chat_session = answered(user)
    before = rows(), Session.objects.values_list("updated_at").get()
    for url in ["/chats/", "/chats/?q=hi", chat_url(chat_session)]:
        with CaptureQueriesContext(connection) as captured:
            assert page.get(url).status_code == 200
        assert all(query["sql"].startswith("SELECT") for query in captured.captured_queries)
    assert page.get(chat_url(chat_session, "chat-delete")).status_code == 200
    assert before == (rows(), Session.objects.values_list("updated_at").get())


def test_first_message_starts_a_chat(
    page: Client, user: User, agent: Agent, submitted: list[UUID]
) -> None:
    response = page.post("/chats/", new_chat(agent, "  Two\nlines  "))
    run = AgentRun.objects.get()
    assert response.status_code == 303
    assert response["Location"] == f"/chats/{run.session_id}/#run-{run.pk}"
    assert (run.user, run.session.user, run.session.agent) == (user, user, agent)
    assert (run.session.platform, run.session.name) == ("web", "Two lines")
    assert run.message.text_content == "  Two\nlines  "
    assert submitted == [run.pk]


def test_script_is_told_where_the_answer_will_come(page: Client, agent: Agent) -> None:
    result = page.post("/chats/", new_chat(agent), headers=JSON).json()
    run = AgentRun.objects.get()
    assert result["url"] == f"/chats/{run.session_id}/#run-{run.pk}"
    assert result["run"] == str(run.pk)
    assert result["events"] == run_url(run, "chat-events")


def chat_event(user: User, form: dict[str, Any]) -> dict[str, str]:
    """The data of the first event in response to the first message of a chat."""
    response, [event] = read_events(user, "post", "/chats/", form)
    assert response["Content-Type"] == "text/event-stream"
    name, _, data = event.partition("\ndata: ")
    assert name == "event: chat"
    loaded: dict[str, str] = json.loads(data)
    return loaded


def without_tokens(text: str) -> str:
    """Without what is new in every form, as lines without blanks."""
    text = re.sub(r'name="(csrfmiddlewaretoken|message_id)" value="[^"]+"', "", text)
    return "\n".join(filter(None, map(str.strip, text.splitlines())))


def main(loaded: str) -> str:
    return loaded.partition('<main id="main" tabindex="-1">')[2].partition("</main>")[0]


def test_script_gets_the_transcript_of_the_new_chat(page: Client, user: User, agent: Agent) -> None:
    event = chat_event(user, new_chat(agent, "Tom & <b>Jerry</b>"))
    chat_session = Session.objects.get()
    assert event["url"] == chat_url(chat_session)
    assert event["name"] == "Tom & <b>Jerry</b>"
    assert event["title"] == "Tom & <b>Jerry</b> – Parley"
    loaded = html(page.get(event["url"]))
    assert "<title>Tom &amp; &lt;b&gt;Jerry&lt;/b&gt; – Parley</title>" in loaded
    without_script = f' <a href="{event["url"]}" data-without-script>Reload</a>'
    assert without_script in loaded
    assert event["html"].strip() in loaded.replace(without_script, "")
    assert event["html"].count("data-turn=") == 1
    assert "<form" not in event["html"]


def test_agents_to_choose_from_are_no_part_of_the_first_event(user: User, agent: Agent) -> None:
    few = chat_event(user, new_chat(agent))
    for number in range(30):
        make_agent(f"agent {number}", description="Answers questions.")
    many = chat_event(user, new_chat(agent))
    assert len(many["html"]) == len(few["html"]) < 2000


def test_text_comes_as_it_was_written_without_the_indentation_around_it(
    page: Client, user: User, agent: Agent
) -> None:
    text = "  def f():\n\n      <pre>\n  </pre>\n  "
    event = chat_event(user, new_chat(agent, text))
    assert f'dir="auto">{escape(text)}</div>' in event["html"]
    assert not re.search(r"\n +<", event["html"].replace(escape(text), ""))


def test_page_with_the_form_has_the_frame_of_a_chats_page(
    page: Client, user: User, agent: Agent
) -> None:
    """But for the chat's id, name and messages it is the page of a chat that has none."""
    chat_session = create_session(user=user, name="Tom & Jerry", agent=agent, platform="web")
    found = FRAME.search(html(page.get("/chats/")))
    assert found
    assert found[1] == "/chats/00000000-0000-0000-0000-000000000000/"
    expected = without_tokens(main(html(page.get(chat_url(chat_session)))))
    frame = found[2].replace(found[1], chat_url(chat_session))
    assert without_tokens(frame.replace("Untitled chat", "Tom &amp; Jerry")) == expected
    tokens = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', frame)
    assert len(tokens) == len(re.findall("<form", frame)) == 2


def test_frame_is_for_the_agent_that_is_selected(page: Client) -> None:
    make_agent("other", description="Sums up")
    third = make_agent("third")
    found = FRAME.search(html(page.get("/chats/", {"agent": third.pk})))
    assert found
    assert "data-agent>with third</p>" in found[2]
    assert re.findall('<option value="([^"]*)" selected data-name="([^"]+)"', found[2]) == [
        ("", "third")
    ]
    menu = found[2].partition("data-other-agents")[2]
    assert re.findall(r'agent-name" dir="auto">([^<]+)<', menu) == ["other", "simple"]


def test_page_without_the_form_has_no_frame(page: Client, user: User) -> None:
    answered(user)
    Agent.objects.update(active=False)
    assert "data-chat-frame" not in html(page.get("/chats/"))


def test_form_that_is_sent_again_gets_the_chat_as_it_is_now(user: User, agent: Agent) -> None:
    form = new_chat(agent)
    chat_event(user, form)
    AgentRun.objects.get().finish(AgentRun.Status.DONE)
    later = send_message(
        user=user, session_id=Session.objects.get().pk, text="Go on", message_id=uuid4()
    )
    event = chat_event(user, form)
    assert event["html"].count("data-turn=") == 2
    assert "Go on" in event["html"]
    assert f'data-events="{run_url(later, "chat-events")}"' in event["html"]
    assert rows() == (1, 2, 2)


def test_second_submit_of_a_form_starts_no_second_chat(page: Client, agent: Agent) -> None:
    form = new_chat(agent)
    first, second = page.post("/chats/", form), page.post("/chats/", form)
    assert first["Location"] == second["Location"]
    assert rows() == (1, 1, 1)


def test_each_form_has_a_message_id_of_its_own(page: Client) -> None:
    ids = [re.search(r'name="message_id" value="([^"]+)"', html(page.get("/chats/"))) for _ in "ab"]
    assert len({found[1] for found in ids if found}) == 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"text": ""}, "Write a message first."),
        ({"text": " \n\t "}, "Write a message first."),
        ({"text": "a\0b"}, "NUL character"),
        ({"text": "x" * 1_000_001}, "at most 1,000,000 characters"),
        ({"agent": 987654}, "not available"),
        ({"agent": ""}, "Choose an agent."),
        ({"agent": "9" * 40}, "not available"),
        ({"message_id": "nonsense"}, "reload the page"),
        ({"message_id": ""}, "reload the page"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_refused_first_message_makes_nothing(
    page: Client, agent: Agent, values: dict[str, Any], complaint: str, submitted: list[UUID]
) -> None:
    form = {**new_chat(agent), **values}
    refused = page.post("/chats/", form)
    assert refused.status_code == 400
    assert complaint in html(refused)
    for headers in (JSON, EVENTS):
        told = page.post("/chats/", form, headers=headers)
        assert told.status_code == 400
        assert complaint in told.json()["error"]
    assert rows() == (0, 0, 0)
    assert not submitted


def test_text_survives_a_refusal(page: Client, agent: Agent) -> None:
    response = page.post("/chats/", new_chat(agent, "\nkeep <me>") | {"agent": 987654})
    assert "\n\nkeep &lt;me&gt;</textarea>" in html(response)


def test_agent_that_is_switched_off_starts_nothing(page: Client) -> None:
    off = make_agent("off", active=False)
    assert page.post("/chats/", new_chat(off)).status_code == 400
    make_agent("on")
    offered = re.findall(r'<option [^>]*data-name="([^"]+)"', shown(page.get("/chats/")))
    assert offered == ["on", "simple"]
    assert rows() == (0, 0, 0)


def test_without_any_agent_the_page_says_so(page: Client) -> None:
    Agent.objects.update(active=False)
    assert "There is no agent to chat with" in html(page.get("/chats/"))


def test_taken_message_id_of_a_stranger_starts_nothing(page: Client, agent: Agent) -> None:
    theirs = ask(make_user("bo"))
    form = new_chat(agent) | {"message_id": str(theirs.message_id)}
    assert page.post("/chats/", form, headers=JSON).status_code == 409
    assert rows() == (1, 1, 1)


def test_form_that_is_sent_again_with_another_text(page: Client, agent: Agent) -> None:
    """As after the browser's Back: what is new is neither lost nor taken for the old."""
    form = new_chat(agent, "First")
    page.post("/chats/", form)
    refused = page.post("/chats/", form | {"text": "Second"})
    assert refused.status_code == 409
    assert "Second</textarea>" in html(refused)
    assert "Send it once more" in html(refused)
    offered = re.search(r'name="message_id" value="([^"]+)"', html(refused))
    assert offered
    assert offered[1] != form["message_id"]
    assert rows() == (1, 1, 1)


def test_message_id_of_another_chat(page: Client, user: User, agent: Agent) -> None:
    first, other = answered(user, "Hello"), answered(user, "Other")
    message_id = first.messages.get(role="user").pk
    form = {"text": "Hello", "message_id": str(message_id)}
    assert page.post(chat_url(other, "chat-send"), form, headers=JSON).status_code == 409


URL_ENCODED = "application/x-www-form-urlencoded"
UNDECODABLE = "holds bytes that are not text"


def url_encoded(form: dict[str, Any]) -> tuple[bytes, str]:
    return urlencode(form).encode(), URL_ENCODED


def written_raw(form: dict[str, Any]) -> tuple[bytes, str]:
    """Without the percent signs in which everything but ASCII belongs."""
    text = form.pop("text")
    return urlencode(form).encode() + b"&text=" + text, URL_ENCODED


def multipart(form: dict[str, Any]) -> tuple[bytes, str]:
    fields = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + (value if isinstance(value, bytes) else str(value).encode())
        for name, value in form.items()
    ]
    return b"\r\n".join([*fields, b"--limit--\r\n"]), "multipart/form-data; boundary=limit"


ENCODINGS = pytest.mark.parametrize("encoded", [url_encoded, written_raw, multipart])


@ENCODINGS
@pytest.mark.parametrize(
    "sent", [b"\xed\xa0\x80", b"\xffabc", "cut \ufffd".encode()[:-1]], ids=lambda sent: repr(sent)
)
def test_bytes_that_are_no_text_are_refused(
    page: Client, agent: Agent, sent: bytes, encoded: Encoder
) -> None:
    body, kind = encoded(new_chat(agent) | {"text": sent})
    response = page.generic("POST", "/chats/", body, content_type=kind)
    assert response.status_code == 400
    assert UNDECODABLE in html(response)
    assert rows() == (0, 0, 0)


@ENCODINGS
def test_replacement_character_is_a_character(page: Client, agent: Agent, encoded: Encoder) -> None:
    text = "What does \ufffd mean?"
    body, kind = encoded(new_chat(agent) | {"text": text.encode()})
    assert page.generic("POST", "/chats/", body, content_type=kind).status_code == 303
    assert Message.objects.get().text_content == text
    page.post(chat_url(Session.objects.get(), "chat-rename"), {"name": "About \ufffd"})
    assert Session.objects.get().name == "About \ufffd"
    assert "About \ufffd" in html(page.get("/chats/", {"q": "\ufffd"}))


def test_bytes_that_are_no_text_are_refused_in_the_admin(client: Client) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    body, kind = url_encoded({"name": b"caf\xe9", "type": "simple", "config": "{}"})
    response = client.generic("POST", "/admin/agents_app/agent/add/", body, content_type=kind)
    assert response.status_code == 400
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\n" * 700 + "At last", "At last"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("soft\xadhyphen\u202e", "softhyphen"),
        ("\u3164\ufe0f", "Untitled chat"),
        ("\u2800", "Untitled chat"),
        ("word " * 20, "word word word word word word word word word word word word…"),
        ("x" * 70, "x" * 60 + "…"),
    ],
)
def test_chat_is_named_after_its_opening_words(
    page: Client, agent: Agent, text: str, name: str
) -> None:
    page.post("/chats/", new_chat(agent, text))
    assert Session.objects.get().name == name


def test_forged_form_is_refused(user: User, agent: Agent) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post("/chats/", new_chat(agent)).status_code == 403
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_default_agent_is_chosen_already(page: Client, count: int) -> None:
    for number in range(count - 1):
        make_agent(f"another {number}")
    chosen = re.findall(
        r'name="agent" value="(\d+)">\s*<p|<option value="(\d+)" selected',
        html(page.get("/chats/")),
    )
    assert ["".join(found) for found in chosen] == [str(Agent.objects.get(name="simple").pk)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=60))
@example("\0")
@example("\ud800")
@example("مرحبا\u202e<b>\r\n\t")
@example("\ufffd")
@example("x" * 1_000_000)
def test_any_text_is_stored_exactly_or_refused(page: Client, agent: Agent, text: str) -> None:
    before = rows()
    sent = text.encode(errors="surrogatepass")
    body, kind = url_encoded(new_chat(agent) | {"text": sent})
    response = page.generic("POST", "/chats/", body, content_type=kind)
    if response.status_code == 303:
        assert rows() == tuple(count + 1 for count in before)
        run_id = response["Location"].rpartition("run-")[2]
        assert AgentRun.objects.get(pk=run_id).message.text_content == text
        AgentRun.objects.update(status="done", finished_at=timezone.now())
    else:
        assert response.status_code == 400
        assert rows() == before
        if any(unicodedata.category(char) == "Cs" for char in text):
            assert UNDECODABLE in html(response)
        else:
            assert 'role="alert" data-error>' in html(response)
            assert "data-error></p>" not in shown(response), "it says why"
