"""Exporting chats: Markdown and JSON, one by one and all of them in a zip."""

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart

from agents_app.chats.feedback import give_feedback
from agents_app.conversation import codec
from agents_app.models import Agent, AgentRun, RunFacts
from agents_app.web.export import with_fences_closed
from agents_app.web.rendering.markdown import markdown_parser
from sessions_app.models import Session
from sessions_app.writing import append_messages
from tests.agents_app.chats import answered, ask, failed, make_user
from tests.agents_app.web.helpers import chat_url, html
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db(transaction=True)


def download(user: User, url: str) -> tuple[Any, bytes]:
    async def read() -> tuple[Any, bytes]:
        client = AsyncClient()
        await client.aforce_login(user)
        response: Any = await client.get(url)
        assert response.status_code == 200, url
        return response, b"".join([piece async for piece in response.streaming_content])

    return async_to_sync(read)()


def exported(user: User, chat_session: Session, ending: str) -> str:
    url = f"{chat_url(chat_session, 'chat-export')}?format={ending}"
    return download(user, url)[1].decode()


def exported_json(user: User, chat_session: Session) -> Any:
    return json.loads(exported(user, chat_session, "json"))


def exported_zip(user: User) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(download(user, "/chats/export/")[1]))


def test_markdown_reads_like_the_page(user: User, agent: Agent) -> None:
    chat_session = answered(user, "Two lines,\n# one of them loud", "Some **words**")
    Session.objects.filter(pk=chat_session.pk).update(name="Plans\nfor May")
    say(chat_session, "Then?", user=user)
    call = {"tool_name": "weather", "args": {"city": "São Paulo", "code": "```"}}
    result = {"tool_name": "weather", "content": "25°"}
    say(chat_session, "Warm", role="assistant", tool_calls=[call], tool_outputs=[result])
    say(chat_session, "Another version", role="assistant", set_aside_with=uuid.uuid4())
    text = exported(user, chat_session, "md")
    first, second = chat_session.messages.all()[:2]
    assert text.startswith("# Plans for May\n\n- Started: ")
    assert "- Agent: simple\n" in text
    moments = [message.created_at.isoformat(timespec="seconds") for message in (first, second)]
    assert f"\n## You, {moments[0]}\n\n> Two lines,\n> # one of them loud\n" in text
    assert f"\n## simple, {moments[1]}\n\nSome **words**\n" in text
    assert "<summary>Used a tool: weather</summary>\n\n````\n[" in text
    assert text.index("São Paulo") < text.index("25°") < text.index("Warm")
    assert "Another version" not in text


def test_markdown_names_the_tools_of_an_imported_chat(user: User) -> None:
    chat_session = answered(user)
    call = {"0": {"args": {"expression": "2+2"}, "tool_name": "calculator", "tool_call_id": "c1"}}
    result = {"0": {"content": "4", "tool_name": "calculator", "tool_call_id": "c1"}}
    say(chat_session, "Four", role="assistant", tool_calls=call, tool_outputs=result)
    say(chat_session, "Five", role="assistant", tool_calls={}, tool_outputs={})
    say(chat_session, "Six", role="assistant", tool_calls={"0": {"args": {}}})
    text = exported(user, chat_session, "md")
    summaries = [line for line in text.splitlines() if "<summary>" in line]
    assert [line.partition("<summary>")[2].partition("</summary>")[0] for line in summaries] == [
        "Used a tool: calculator",
        "Tool result: calculator",
        "Used a tool",
    ]


def test_markdown_says_what_became_of_a_failed_answer(user: User) -> None:
    run = failed(user, "And now?", error="The model did not answer.")
    AgentRun.objects.filter(pk=run.pk).update(text="```\ncode as far as it")
    say(run.session, "Go on", user=user)
    text = exported(user, run.session, "md")
    expected = "```\ncode as far as it\n```\n\n*Failed. The model did not answer.*\n"
    assert expected in text
    assert text.index("And now?") < text.index(expected) < text.index("Go on")


def test_markdown_says_that_an_answer_is_not_complete(user: User) -> None:
    run = ask(user, "Count")
    AgentRun.objects.filter(pk=run.pk).update(status=AgentRun.Status.RUNNING, text="One,")
    assert "\n\nOne,\n\n*The answer is being written.*\n" in exported(user, run.session, "md")
    part = say(run.session, "One, two", role="assistant", run=run, agent=run.agent)
    run.finish(AgentRun.Status.DONE, text="", facts=RunFacts(truncated=True))
    limit = "\n\nOne, two\n\n*The answer reached the length limit.*\n"
    assert exported(user, run.session, "md").endswith(limit)

    continued = AgentRun.objects.create(
        session=run.session, message=part, agent=run.agent, user=user
    )
    continued.finish(AgentRun.Status.FAILED, text="three", error="No more.")
    text = exported(user, run.session, "md")
    assert "length limit" not in text
    assert text.endswith("\n\nthree\n\n*Failed. No more.*\n")

    question = say(run.session, "Again", user=user)
    stopped = AgentRun.objects.create(
        session=run.session, message=question, agent=run.agent, user=user
    )
    say(run.session, "Four", role="assistant", run=stopped, agent=run.agent)
    stopped.finish(AgentRun.Status.STOPPED, text="")
    say(run.session, "Go on", user=user)
    text = exported(user, run.session, "md")
    assert "\n\nFour\n\n*Stopped.*\n\n## You" in text
    assert "*Failed. No more.*\n\n## You" in text


def test_what_is_for_staff_is_in_no_export(user: User) -> None:
    run = failed(user, error="The model is not set up. Staff have been notified.\nSet AGENT_MODEL.")
    for ending in ("md", "json"):
        text = exported(user, run.session, ending)
        assert "The model is not set up. Staff have been notified." in text
        assert "AGENT_MODEL" not in text


def test_json_has_everything_of_the_chat(user: User) -> None:
    chat_session = answered(user, "Hello 🎉", "Hi")
    run = AgentRun.objects.get()
    AgentRun.objects.update(model="openai:gpt", input_tokens=3)
    first_version = uuid.uuid4()
    say(chat_session, "Other", set_aside_with=uuid.uuid4(), version_of=first_version)
    say(chat_session, role="tool", text="", tool_outputs=[{"content": [1, None, 1.5]}], run=run)
    chat = exported_json(user, chat_session)
    assert chat["format"] == "chat"
    assert chat["version"] == 1
    assert chat["id"] == str(chat_session.pk)
    assert chat["name"] == "Hello 🎉"
    assert chat["agent"]["name"] == "simple"
    assert chat["pinned_at"] is None
    question, answer, other, tool = chat["messages"]
    assert question["text"] == "Hello 🎉"
    assert question["created_at"].endswith("+00:00")
    assert (answer["role"], answer["agent"], answer["chosen"]) == ("assistant", "simple", True)
    assert (other["chosen"], other["version_of"]) == (False, str(first_version))
    assert tool["tool_outputs"] == [{"content": [1, None, 1.5]}]
    assert tool["run"] == chat["runs"][0]["id"]
    assert chat["runs"][0]["message"] == question["id"]
    assert (chat["runs"][0]["model"], chat["runs"][0]["input_tokens"]) == ("openai:gpt", 3)


def test_reasoning_and_feedback_are_exported(user: User) -> None:
    run = ask(user)
    [row] = codec.to_rows([ModelResponse([ThinkingPart("Hm, `let` me see"), TextPart("Yes")])])
    row.session, row.run, row.agent = run.session, run, run.agent
    append_messages([row])
    run.finish(AgentRun.Status.DONE)
    give_feedback(
        user=user, session_id=row.session_id, message_id=row.pk, is_good=False, reason="Too short"
    )
    text = exported(user, run.session, "md")
    assert "<summary>Reasoning</summary>\n\n```\nHm, `let` me see\n```\n" in text
    assert text.index("Hm, `let` me see") < text.index("Yes")
    question, answer = exported_json(user, run.session)["messages"]
    assert (question["reasoning"], question["feedback"]) == (None, None)
    assert answer["reasoning"] == "Hm, `let` me see"
    assert answer["feedback"] == {"good": False, "reason": "Too short"}


def test_long_chats_are_whole(user: User, agent: Agent) -> None:
    chat_session = make_session(user=user, agent=agent)
    for number in range(450):
        say(chat_session, f"Message {number}. " + "é" * 500)
    texts = [message["text"] for message in exported_json(user, chat_session)["messages"]]
    assert [text.split(".")[0] for text in texts] == [f"Message {n}" for n in range(450)]
    assert exported(user, chat_session, "md").count("\n## You, ") == 450


def test_a_chat_without_anything_can_be_exported(user: User) -> None:
    chat_session = make_session(user=user, name="")
    assert exported(user, chat_session, "md").startswith("# Untitled chat\n")
    chat = exported_json(user, chat_session)
    assert (chat["agent"], chat["messages"], chat["runs"]) == (None, [], [])


@pytest.mark.parametrize(
    ("name", "plain", "encoded"),
    [
        ("Plans", "Plans", "Plans"),
        ('a/b\\c:"d"\r\nX: y', "a b c d X y", "a%20b%20c%20d%20X%20y"),
        ("Übung 東京", "Ubung ", "%C3%9Cbung%20%E6%9D%B1%E4%BA%AC"),
        ("../..", "Chat", "Chat"),
        ("\u202egpj.exe", "gpj.exe", "gpj.exe"),
        ("x" * 200, "x" * 80, "x" * 80),
    ],
)
def test_file_names_are_safe(user: User, name: str, plain: str, encoded: str) -> None:
    chat_session = make_session(user=user, name=name)
    url = f"{chat_url(chat_session, 'chat-export')}?format=md"
    response, _ = download(user, url)
    date = chat_session.created_at.date().isoformat()
    assert response["Content-Disposition"] == (
        f"attachment; filename=\"{date} {plain}.md\"; filename*=UTF-8''{date}%20{encoded}.md"
    )
    assert response["Content-Type"] == "text/markdown; charset=utf-8"


def test_all_chats_are_in_the_zip_but_not_the_trash(user: User) -> None:
    chats = [answered(user, "Hello"), answered(user, "Hello"), ask(user, "Still open?").session]
    make_session(user=user, name="Deleted", trashed_at=timezone.now())
    make_session(user=make_user("bo"), name="Bo's")
    phantom(user=user)
    imported = phantom(user=user)
    say(imported, "How do I sail?")
    chats.append(imported)
    archive = exported_zip(user)
    assert archive.testzip() is None
    names = archive.namelist()
    assert len(names) == len(set(names)) == 8
    assert not [name for name in names if "Session-" in name]
    for chat_session in chats:
        markdown, as_json = (
            next(name for name in names if name.endswith(f"{chat_session.pk.hex[:8]}.{ending}"))
            for ending in ("md", "json")
        )
        assert archive.read(markdown).decode() == exported(user, chat_session, "md")
        assert archive.read(as_json).decode() == exported(user, chat_session, "json")


def test_a_zip_without_chats_is_empty(user: User) -> None:
    assert exported_zip(user).namelist() == []


def test_the_page_has_the_exports(page: Client, user: User) -> None:
    chat_session = answered(user)
    url = chat_url(chat_session, "chat-export")
    shown = html(page.get(chat_url(chat_session)))
    for ending in ("md", "json"):
        assert f'href="{url}?format={ending}"' in shown
        assert page.head(f"{url}?format={ending}").status_code == 200
    assert 'href="/chats/export/"' in html(page.get("/chats/all/"))
    assert page.get(url).status_code == 404, "in no format"
    assert page.get(f"{url}?format=exe").status_code == 404
    assert page.post("/chats/export/").status_code == 405


@given(st.lists(st.sampled_from(["```", "~~~~", "````py", "text", "`a```", "  ~~~ ", ""])))
def test_what_follows_an_answer_is_never_within_its_code(lines: list[str]) -> None:
    text = with_fences_closed("\n".join(lines)) + "\n\n## After"
    last = markdown_parser().parse(text)[-2]
    assert last.content == "After"
