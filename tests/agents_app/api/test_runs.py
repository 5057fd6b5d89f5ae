"""Running agents through the served API, with a model whose answers the test determines."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from agents_app.api.response_schemas import RunState
from agents_app.models import Agent, AgentRun, ExternalUser, Scope
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient, grant, key_for
from tests.agents_app.chats import make_agent, make_user
from tests.factories import make_session
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)


def ask(http: httpx2.Client, text: str = "Hello", /, **body: Any) -> httpx2.Response:
    return http.post("agent/simple/run", json={"message_content": text, **body})


def test_answer(http: httpx2.Client, model: ToldModel, user: User, agent: Agent) -> None:
    model.will_say("Hi ", "there!")
    answer = ask(http, context={"a": 1}, channel_payload={"b": [2]}, mediaUrl="x").json()
    assert (answer["message"], answer["success"]) == ("Hi there!", True)
    assert (answer["tool_calls"], answer["tool_outputs"]) == ([], [])
    assert answer["user_id"] == str(user.pk)
    chat_session = Session.objects.get(pk=answer["session_id"])
    assert (chat_session.user, chat_session.agent, chat_session.name) == (user, agent, "Hello")
    assert chat_session.platform == "automagik-agent"
    question, reply = chat_session.messages.order_by("position")
    assert (question.context, question.channel_payload) == ({"a": 1}, {"b": [2]})
    assert str(reply.pk) == answer["message_id"]
    assert {question.user, reply.user} == {user}


def test_continues_a_session(http: httpx2.Client, model: ToldModel) -> None:
    model.will_say("One.")
    first = ask(http, "First").json()
    model.asked()
    model.will_say("Two.")
    second = ask(http, "Second", session_id=first["session_id"]).json()
    assert second["session_id"] == first["session_id"]
    told = [message["content"] for message in model.asked().messages]
    assert told[-3:] == ["First", "One.", "Second"]


@pytest.mark.parametrize("session_id", ["nonsense", str(uuid.uuid4()), "0", "None"])
def test_unknown_session(http: httpx2.Client, session_id: str) -> None:
    response = ask(http, session_id=session_id)
    assert response.status_code == 404
    assert response.json()["code"] == "session_not_found"
    assert not Session.objects.exists()


@pytest.mark.parametrize("name", ["nobody", "off", "%00", "9" * 30])
def test_unknown_agent(http: httpx2.Client, name: str) -> None:
    make_agent("off", active=False)
    response = http.post(f"agent/{name}/run", json={"message_content": "Hello"})
    assert response.status_code == 404
    assert response.json()["code"] == "agent_not_found"
    assert not Session.objects.exists()


@pytest.mark.parametrize("name", ["simple", "simple_agent", "simple-agent"])
def test_names_of_an_agent(http: httpx2.Client, model: ToldModel, name: str) -> None:
    model.will_say("Hi.")
    assert http.post(f"agent/{name}/run", json={"message_content": "Hello"}).json()["success"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message_content": ""},
        {"message_content": None},
        {"message_content": "a\0b"},
        {"message_content": "x", "session_origin": "nowhere"},
        {"message_content": "x", "session_origin": "automagik"},
        {"message_content": "x", "message_limit": 0},
        {"message_content": "x", "parameters": {"temperature": 3}},
        {"message_content": "x", "parameters": {"max_tokens": 0}},
        {"message_content": "x", "context": "text"},
        {"message_content": "x", "session_name": "x" * 201},
    ],
)
def test_bad_body(http: httpx2.Client, body: dict[str, Any]) -> None:
    response = http.post("agent/simple/run", json=body)
    assert response.status_code == 422
    assert response.json()["detail"]
    assert not Session.objects.exists()


def test_options_hold_for_one_run(http: httpx2.Client, model: ToldModel, agent: Agent) -> None:
    model.will_say("Arr.")
    options = {"system_prompt": "Be a pirate.", "parameters": {"temperature": 0.5, "max_tokens": 7}}
    first = ask(http, "One", **options).json()
    model.asked()
    request = model.requests[-1]
    assert request["messages"][0]["content"] == "Be a pirate."
    assert request["temperature"] == 0.5
    assert 7 in {request.get("max_tokens"), request.get("max_completion_tokens")}
    for text in ("Two", "Three"):
        model.will_say("Yes.")
        ask(http, text, session_id=first["session_id"], message_limit=1 if text == "Three" else 10)
        model.asked()
    told = [message["content"] for message in model.requests[-1]["messages"]]
    assert "Be a pirate." not in told
    assert "One" not in told
    assert told[-1] == "Three"


def test_failure(http: httpx2.Client, model: ToldModel) -> None:
    model.fail()
    answer = ask(http).json()
    assert answer["success"] is False
    assert answer["message"]
    assert Session.objects.filter(pk=answer["session_id"]).exists()


def test_named_session(http: httpx2.Client, model: ToldModel, user: User) -> None:
    make_session(user=make_user("bruno"), name="trip")
    for _ in range(2):
        model.will_say("Yes.")
        assert ask(http, session_name="trip", session_origin="discord").json()["success"]
    chat_session = Session.objects.get(user=user)
    assert (chat_session.name, chat_session.platform) == ("trip", "discord")
    assert chat_session.messages.count() == 4


def test_two_clients_name_the_same_new_session_at_once(
    http: httpx2.Client, model: ToldModel
) -> None:
    for _ in range(6):
        model.will_say("Yes.")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda i: ask(http, f"{i}", session_name="trip").json(), range(6)))
    assert all(answer["success"] for answer in answers)
    assert {answer["session_id"] for answer in answers} == {str(Session.objects.get().pk)}
    questions = Message.objects.filter(role="user").values_list("text_content", flat=True)
    assert sorted(questions) == [str(i) for i in range(6)]


def test_busy_session(http: httpx2.Client, model: ToldModel) -> None:
    run = http.post("agent/simple/run/async", json={"message_content": "First"}).json()
    first = model.asked().say("On")
    busy = http.post(
        "agent/simple/run?wait=0", json={"message_content": "No", "session_id": run["session_id"]}
    )
    assert busy.status_code == 409
    assert busy.json()["code"] == "session_busy"
    assert Message.objects.count() == 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, http, "Second", session_id=run["session_id"])
        first.say("e.").end()
        model.asked().say("Two.").end()
        assert waiting.result().json()["message"] == "Two."
    texts = Message.objects.order_by("position").values_list("text_content", flat=True)
    assert list(texts) == ["First", "One.", "Second", "Two."]


def test_idempotency_key(http: httpx2.Client, model: ToldModel) -> None:
    model.will_say("Once.")
    headers = {"Idempotency-Key": "4711"}
    body = {"message_content": "Pay"}
    answers = [http.post("agent/simple/run", json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert Session.objects.count() == 1


class TestInBackground:
    def test_status(self, http: httpx2.Client, model: ToldModel) -> None:
        started = http.post("agent/simple/run/async", json={"message_content": "Hello"}).json()
        assert started["agent_name"] == "simple"
        answer = model.asked().say("Hi")
        state = http.get(f"run/{started['run_id']}/status").json()
        assert state["status"] in {"pending", "running"}
        assert (state["result"], state["completed_at"]) == (None, None)
        answer.say(".").end()
        model.will_say("Again.")
        # It waits for the first run.
        ask(http, "Next", session_id=started["session_id"])
        state = http.get(f"runs/{started['run_id']}/status").json()
        assert (state["status"], state["result"], state["error"]) == ("done", "Hi.", None)
        assert state["completed_at"]

    def test_start_of_a_run_that_has_waited(self, http: httpx2.Client, model: ToldModel) -> None:
        """Because too many other runs of its user were active."""

        def ask_in_background() -> str:
            started = http.post("agent/simple/run/async", json={"message_content": "Hello"})
            return str(started.json()["run_id"])

        def state(run_id: str) -> RunState:
            return RunState(**http.get(f"run/{run_id}/status").json())

        others = {ask_in_background() for _ in range(settings.AGENT_RUNS_PER_USER)}
        answers = [model.asked() for _ in others]
        waiting = ask_in_background()
        assert (state(waiting).status, state(waiting).started_at) == ("pending", None)
        before = timezone.now()
        answers[0].say("One.").end()
        answer = model.asked()
        running = state(waiting)
        assert running.started_at is not None
        assert before < running.started_at < timezone.now()
        answer.say("Two.").end()
        model.will_say("Again.")
        ask(http, "Next", session_id=running.session_id)  # it waits for the run
        ended = state(waiting)
        assert (ended.status, ended.started_at) == ("done", running.started_at)

    def test_start_of_a_run_that_has_not_waited(
        self, http: httpx2.Client, model: ToldModel
    ) -> None:
        model.will_say("Hi.")
        run = ask(http).json()
        state = RunState(**http.get(f"run/{run['run_id']}/status").json())
        assert state.started_at is not None
        assert state.completed_at is not None
        assert state.created_at < state.started_at < state.completed_at

    def test_run_that_was_stopped_while_it_waited_has_no_start(
        self, api: ApiClient, agent: Agent
    ) -> None:
        run_id = api("POST", "agent/simple/run/async", {"message_content": "Hello"}).json()[
            "run_id"
        ]
        assert api("POST", f"run/{run_id}/stop").json()["stopped"]
        state = api("GET", f"run/{run_id}/status").json()
        assert (state["status"], state["started_at"]) == ("stopped", None)

    def test_stop(self, http: httpx2.Client, model: ToldModel) -> None:
        started = http.post("agent/simple/run/async", json={"message_content": "Hello"}).json()
        model.asked().say("Hi")
        stopped = http.post(f"runs/{started['run_id']}/stop").json()
        assert (stopped["status"], stopped["stopped"]) == ("stopped", True)
        again = http.post(f"run/{started['run_id']}/stop").json()
        assert again["stopped"] is False

    def test_text_of_a_stopped_run(self, http: httpx2.Client, model: ToldModel) -> None:
        headers = {"Accept": "text/event-stream"}
        body = {"message_content": "Hello"}
        with http.stream("POST", "agent/simple/run", json=body, headers=headers) as response:
            model.asked().say("Hi")
            lines = response.iter_lines()
            assert any('"delta":"Hi"' in line for line in lines)
            run = AgentRun.objects.get()
            http.post(f"runs/{run.pk}/stop")
            assert any("[DONE]" in line for line in lines)
        state = http.get(f"runs/{run.pk}/status").json()
        assert (state["status"], state["error"]) == ("stopped", None)
        assert (state["result"], state["progress"]) == ("Hi", {"text": "Hi"})

    @pytest.mark.parametrize("run_id", ["x", str(uuid.uuid4())])
    def test_unknown_run(self, http: httpx2.Client, run_id: str) -> None:
        for response in (http.get(f"runs/{run_id}/status"), http.post(f"runs/{run_id}/stop")):
            assert response.status_code == 404
            assert response.json()["code"] == "run_not_found"

    def test_client_that_hangs_up_without_a_stream(
        self, http: httpx2.Client, model: ToldModel, user: User
    ) -> None:
        client = HTTPConnection(http.base_url.netloc.decode(), timeout=30)
        body = json.dumps({"message_content": "Hello"})
        headers = {"X-API-Key": key_for(user), "Content-Type": "application/json"}
        client.request("POST", "/api/v1/agent/simple/run", body, headers)
        answer = model.asked().say("Light.")
        client.close()
        assert http.get("health").json()["status"] == "healthy"  # the server has noticed
        answer.say(" Dark.").end()
        run = AgentRun.objects.get()
        model.will_say("Again.")
        ask(http, "Next", session_id=str(run.session_id))  # it waits for the first run
        state = http.get(f"runs/{run.pk}/status").json()
        assert (state["status"], state["result"]) == ("done", "Light. Dark.")
        detail = http.get(f"sessions/{run.session_id}?sort_desc=false").json()
        texts = [message["content"] for message in detail["messages"]]
        assert texts == ["Hello", "Light. Dark.", "Next", "Again."]

    def test_client_that_hangs_up(self, http: httpx2.Client, model: ToldModel) -> None:
        headers = {"Accept": "text/event-stream"}
        body = {"message_content": "Hello"}
        with http.stream("POST", "agent/simple/run", json=body, headers=headers) as response:
            answer = model.asked().say("Light.")
            next(response.iter_bytes())
        answer.say(" Dark.").end()
        run = AgentRun.objects.get()
        model.will_say("Again.")
        ask(http, "Next", session_id=str(run.session_id))  # it waits for the first run
        assert http.get(f"runs/{run.pk}/status").json()["result"] == "Light. Dark."


class TestActingForOthers:
    """Channels act for many people with one key."""

    def test_not_without_permission(self, http: httpx2.Client, user: User) -> None:
        bruno = make_user("bruno", email="bruno@example.org")
        key = key_for(user, Scope.CHAT)
        for user_id in (bruno.pk, str(bruno.pk), "unknown"):
            response = ask(http, user_id=user_id)
            assert (response.status_code, response.json()["code"]) == (403, "no_permission")
        for described in ({"email": "bruno@example.org"}, {"phone_number": "+551199"}):
            body: Any = {"message_content": "Hello", "user": described}
            response = http.post("agent/simple/run", json=body, headers={"X-API-Key": key})
            assert (response.status_code, response.json()["code"]) == (403, "wrong_scope")
        assert not Session.objects.exists()
        assert User.objects.count() == 2

    def test_own_id(self, http: httpx2.Client, model: ToldModel, user: User) -> None:
        model.will_say("Yes.")
        assert ask(http, user_id=user.pk).json()["user_id"] == str(user.pk)

    def test_known_user(self, http: httpx2.Client, model: ToldModel, user: User) -> None:
        grant(user, "agents_app.act_for_users")
        bruno = make_user("bruno", email="bruno@example.org")
        ExternalUser.objects.create(user=bruno, original_id="b-1", phone_number="+5511")
        bodies: list[dict[str, Any]] = [
            {"user_id": bruno.pk},
            {"user_id": "b-1"},
            {"user_id": "Bruno@example.org"},
            {"user": {"phone_number": "+5511"}, "user_id": 1},
            {"user": {"email": "bruno@example.org"}},
        ]
        for body in bodies:
            model.will_say("Yes.")
            assert ask(http, **body).json()["user_id"] == str(bruno.pk)
        assert set(Session.objects.values_list("user", flat=True)) == {bruno.pk}
        assert set(Message.objects.values_list("user", flat=True)) == {bruno.pk}
        assert ask(http, user_id="nobody").status_code == 404

    def test_new_user(self, http: httpx2.Client, model: ToldModel, user: User) -> None:
        grant(user, "agents_app.act_for_users")
        described = {"phone_number": "+5599", "user_data": {"name": "Carla"}}
        assert ask(http, user=described).status_code == 403
        grant(user, "auth.add_user")
        ids = set()
        for _ in range(2):
            model.will_say("Yes.")
            ids.add(ask(http, user=described).json()["user_id"])
        carla = ExternalUser.objects.get(phone_number="+5599")
        assert ids == {str(carla.user_id)}
        assert carla.data == {"name": "Carla"}
        assert not User.objects.get(pk=carla.user_id).has_usable_password()
        assert set(Message.objects.values_list("user", flat=True)) == {carla.user_id}

    @pytest.mark.parametrize("owner", ["key", "other", "third"])
    @pytest.mark.parametrize("acting", ["key", "other"])
    def test_session_must_be_the_acting_users(
        self, http: httpx2.Client, model: ToldModel, user: User, owner: str, acting: str
    ) -> None:
        grant(user, "agents_app.act_for_users")
        people = {"key": user, "other": make_user("bruno"), "third": make_user("carla")}
        chat_session = make_session(user=people[owner])
        model.will_say("Yes.")
        response = ask(http, session_id=str(chat_session.pk), user_id=people[acting].pk)
        if owner == acting:
            assert response.json()["user_id"] == str(people[owner].pk)
            assert set(Message.objects.values_list("user", flat=True)) == {people[owner].pk}
        else:
            assert response.status_code == 404
            assert not Message.objects.exists()
