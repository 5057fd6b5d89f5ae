"""What people do with answers on the chat pages, in the web process and with a worker."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.db import connection

from agents_app.models import AgentRun, WorkerProcess
from sessions_app.models import Message
from tests.agents_app.web.helpers import message, new_chat
from tests.concurrency.test_streams import read_until
from tests.concurrency.test_workers import Site

pytestmark = pytest.mark.django_db(transaction=True)

with_workers = pytest.param(
    "workers",
    marks=pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
)


@pytest.fixture(params=["web", with_workers])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site that answers in the web process or, with a second process, in a worker."""
    with ExitStack() as stack:
        site = Site(stack, ANSWERS_IN=request.param)
        answering = site.worker().pid if request.param == "workers" else site.web.process.pid
        yield site
        processes = AgentRun.objects.exclude(process_id=None).values("process_id")
        pids = WorkerProcess.objects.filter(pk__in=processes).values_list("pid", flat=True)
        assert list(pids) == [answering]


def newest_run() -> AgentRun:
    return AgentRun.objects.order_by("created_at").select_related("message").reverse()[0]


def shown_texts(site: Site) -> list[str]:
    page = site.client.get(f"/chats/{newest_run().session_id}/").content.decode()
    return re.findall(r'<div class="text[^>]*>(?:<p[^>]*>)?([^<]+)', page)


def answer(site: Site, said: str, path: str, **form: object) -> list[str]:
    """What the model is sent for the answer that a form asks for."""
    stream = site.post(path, **form)
    asked = site.model.asked().say(said)
    asked.end()
    read_until(stream, '"status":"done"')
    return [one["content"] for one in asked.messages]


def test_messages_are_edited_and_answers_asked_for_again(site: Site) -> None:
    assert answer(site, "One", "/chats/", **new_chat(site.agent, "Hello"))[-1] == "Hello"
    question = newest_run().message
    path = f"/chats/{question.session_id}/messages/"
    assert answer(site, "Two", f"{path}{question.pk}/regenerate/")[-1] == "Hello"
    assert shown_texts(site) == ["Hello", "Two"]
    edited = message("Good day")
    assert answer(site, "Three", f"{path}{question.pk}/edit/", **edited)[-1] == "Good day"
    assert shown_texts(site) == ["Good day", "Three"]
    told = answer(site, "Four", path, **message("And then?"))
    assert told[-3:] == ["Good day", "Three", "And then?"]
    assert shown_texts(site) == ["Good day", "Three", "And then?", "Four"]


def test_an_answer_that_was_cut_off_is_continued(site: Site) -> None:
    site.model.finish_reason = "length"
    answer(site, "Once upon", "/chats/", **new_chat(site.agent, "Hello"))
    cut_off = newest_run()
    assert cut_off.truncated
    site.model.finish_reason = "stop"
    path = f"/chats/{cut_off.session_id}/runs/{cut_off.pk}/continue/"
    assert "Once upon" in answer(site, "a time", path)
    assert shown_texts(site) == ["Hello", "Once upon", "a time"]
    assert not newest_run().truncated


def test_an_answer_that_the_provider_breaks_off_is_answered_again(site: Site) -> None:
    """It ends without a finish reason."""
    site.model.finish_reason = None
    stream = site.ask()
    site.model.asked().say("Good").end()
    read_until(stream, "event: end")
    end = stream.readline().decode()
    assert '"status":"interrupted"' in end
    assert "closed the connection during the answer" in end
    assert "data-retry" in end
    run = newest_run()
    assert run.text == "Good"
    assert not Message.objects.filter(role="assistant").exists()
    site.model.finish_reason = "stop"
    answer(site, "Good day", f"/chats/{run.session_id}/runs/{run.pk}/retry/")
    assert shown_texts(site) == ["Hello", "Good day"]
