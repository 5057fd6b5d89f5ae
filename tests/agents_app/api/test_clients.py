"""The API, called by a third-party client: the openai package."""

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User

from agents_app.api.openai_schemas import ErrorBody
from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient, key_for
from tests.agents_app.chats import ask, make_user
from tests.factories import make_session
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(served: str, model: ToldModel, user: User, agent: Agent) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key=key_for(user), base_url=f"{served}/v1", max_retries=0, timeout=30
    ) as client:
        yield client


class LosesFirstAnswer(httpx2.HTTPTransport):
    """A connection that breaks after the first response."""

    has_lost = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if not self.has_lost:
            response.read()
            self.has_lost = True
            raise httpx2.ReadError("lost", request=request)
        return response


def user_says(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


class TestOpenAI:
    def test_models(self, client: openai.OpenAI, agent: Agent) -> None:
        assert agent.name in [model.id for model in client.models.list()]
        assert client.models.retrieve(agent.name).id == agent.name

    def test_plain(self, client: openai.OpenAI, model: ToldModel, user: User) -> None:
        model.will_say("Hi ", "there!")
        completion = client.chat.completions.create(model="simple", messages=user_says("Hello"))
        assert completion.choices[0].message.content == "Hi there!"
        assert completion.choices[0].finish_reason == "stop"
        chat_session = Session.objects.get()
        assert (chat_session.user, chat_session.name) == (user, "Hello")
        assert completion.metadata == {"session_id": str(chat_session.pk)}

    def test_async_client(self, served: str, model: ToldModel, user: User, agent: Agent) -> None:
        key = key_for(user)

        async def ask() -> tuple[str, list[str]]:
            async with openai.AsyncOpenAI(
                api_key=key, base_url=f"{served}/v1", max_retries=0, timeout=30
            ) as client:
                names = [found.id async for found in client.models.list()]
                stream = await client.chat.completions.create(
                    model="simple", messages=user_says("Hello"), stream=True
                )
                parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
                return "".join(parts), names

        model.will_say("Hi ", "there!")
        text, names = async_to_sync(ask)()
        assert text == "Hi there!"
        assert agent.name in names

    def test_whole_conversation(self, client: openai.OpenAI, model: ToldModel) -> None:
        model.will_say("Ann.")
        client.chat.completions.create(
            model="simple",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "I am Ann."}]},
                {"role": "assistant", "content": "Hi Ann."},
                {"role": "user", "content": "Who am I?"},
            ],
        )
        told = [(m["role"], m["content"]) for m in model.asked().messages]
        assert told == [
            ("system", "Be brief."),
            ("user", "I am Ann."),
            ("assistant", "Hi Ann."),
            ("user", "Who am I?"),
        ]
        stored = Message.objects.order_by("position").values_list("text_content", flat=True)
        assert list(stored) == ["I am Ann.", "Hi Ann.", "Who am I?", "Ann."]

    def test_streamed(self, client: openai.OpenAI, model: ToldModel) -> None:
        model.will_say("Hi ", "there!")
        stream = client.chat.completions.create(
            model="simple",
            messages=user_says("Hello"),
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(texts) == "Hi there!"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage is not None
        assert Session.objects.count() == 1

    def test_continues_a_session(self, client: openai.OpenAI, model: ToldModel) -> None:
        model.will_say("One.")
        first = client.chat.completions.create(model="simple", messages=user_says("First"))
        model.asked()
        assert first.metadata is not None
        model.will_say("Two.")
        client.chat.completions.create(
            model="simple", messages=user_says("Second"), metadata=first.metadata
        )
        told = [message["content"] for message in model.asked().messages]
        assert told[-3:] == ["First", "One.", "Second"]
        assert Session.objects.count() == 1

    @pytest.mark.parametrize("stream", [False, True])
    def test_nothing_is_stored(self, client: openai.OpenAI, model: ToldModel, stream: bool) -> None:
        model.will_say("Hi!")
        answer: Any = client.chat.completions.create(
            model="simple", messages=user_says("Hello"), store=False, stream=stream
        )
        if stream:
            parts = [chunk.choices[0].delta.content or "" for chunk in answer]
            assert "".join(parts) == "Hi!"
        else:
            assert answer.choices[0].message.content == "Hi!"
        assert not Session.objects.exists()
        assert not Message.objects.exists()

    @pytest.mark.parametrize("finish_reason", ["stop", "length"])
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("store", [False, True])
    def test_tokens_and_their_limit(
        self,
        client: openai.OpenAI,
        model: ToldModel,
        monkeypatch: pytest.MonkeyPatch,
        store: bool,
        stream: bool,
        finish_reason: str,
    ) -> None:
        monkeypatch.setattr(model, "finish_reason", finish_reason)
        model.will_say("As far as it")
        options: Any = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        answer: Any = client.chat.completions.create(
            model="simple", messages=user_says("Hello"), max_tokens=7, store=store, **options
        )
        if stream:
            *_, finish, answer = answer
        else:
            finish = answer
        assert finish.choices[0].finish_reason == finish_reason
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 2, 7)

    def test_errors(self, client: openai.OpenAI, served: str) -> None:
        others = make_session(user=make_user("bruno"))
        create = client.chat.completions.create
        with pytest.raises(openai.NotFoundError, match="no active agent"):
            create(model="nobody", messages=user_says("Hello"))
        for session_id in ("", "nonsense", str(others.pk)):
            with pytest.raises(openai.NotFoundError):
                create(
                    model="simple",
                    messages=user_says("Hello"),
                    metadata={"session_id": session_id},
                )
        with pytest.raises(openai.BadRequestError, match="messages"):
            create(model="simple", messages=[])
        with pytest.raises(openai.BadRequestError, match="must be the user's"):
            create(model="simple", messages=[{"role": "assistant", "content": "Hi"}])
        image: Any = {"type": "image_url", "image_url": {"url": "data:,"}}
        with pytest.raises(openai.BadRequestError, match="Only text"):
            create(model="simple", messages=[{"role": "user", "content": [image]}])
        with (
            openai.OpenAI(api_key="cs_wrong", base_url=f"{served}/v1", max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError),
        ):
            stranger.models.list()
        with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
            client.embeddings.create(model="simple", input="x")
        assert Session.objects.count() == 1

    @pytest.mark.parametrize(
        ("param", "value"),
        [
            ("n", 2),
            ("response_format", {"type": "json_object"}),
            ("tool_choice", "required"),
            ("logprobs", True),
            ("modalities", ["text", "audio"]),
        ],
    )
    def test_what_no_agent_can_do(self, client: openai.OpenAI, param: str, value: Any) -> None:
        """It is rejected, since the client would expect it in the answer."""
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(
                model="simple", messages=user_says("Hello"), extra_body={param: value}
            )
        assert refused.value.param is not None
        assert refused.value.param.startswith(param)
        assert not Session.objects.exists()

    def test_what_makes_no_difference(self, client: openai.OpenAI, model: ToldModel) -> None:
        model.will_say("Hi!")
        function: Any = {"name": "clock", "parameters": {"type": "object", "properties": {}}}
        completion = client.chat.completions.create(
            model="simple",
            messages=user_says("Hello"),
            n=1,
            response_format={"type": "text"},
            tools=[{"type": "function", "function": function}],
            tool_choice="auto",
            logprobs=False,
            modalities=["text"],
            seed=5,
            stop=["\n"],
            user="ana",
        )
        assert completion.choices[0].message.content == "Hi!"
        assert "tools" not in model.requests[-1]

    @pytest.mark.parametrize("store", [True, False])
    def test_failure(self, client: openai.OpenAI, model: ToldModel, store: bool) -> None:
        model.fail()
        with pytest.raises(openai.APIStatusError) as failed:
            client.chat.completions.create(model="simple", messages=user_says("Hello"), store=store)
        assert (failed.value.status_code, failed.value.code) == (424, "run_failed")
        stream = client.chat.completions.create(
            model="simple", messages=user_says("Hello"), store=store, stream=True
        )
        with pytest.raises(openai.APIError) as broken_off:
            list(stream)
        assert ErrorBody.model_validate(broken_off.value.body).code == "run_failed"

    def test_failure_is_not_repeated(self, client: openai.OpenAI, model: ToldModel) -> None:
        """With the package's default number of retries."""
        patient = client.with_options(max_retries=openai.DEFAULT_MAX_RETRIES)
        model.fail()
        with pytest.raises(openai.APIStatusError) as failed:
            patient.chat.completions.create(model="simple", messages=user_says("Hello"))
        assert str(Session.objects.get().pk) in failed.value.message

    @pytest.mark.parametrize("stream", [False, True])
    def test_idempotency_key(self, client: openai.OpenAI, model: ToldModel, stream: bool) -> None:
        model.will_say("Paid.")
        answers: list[Any] = [
            client.chat.completions.create(
                model="simple",
                messages=user_says("Pay"),
                stream=stream,
                extra_headers={"Idempotency-Key": "4711"},
            )
            for _ in range(2)
        ]
        if stream:
            chunks = [list(answer) for answer in answers]
            texts = ["".join(c.choices[0].delta.content or "" for c in some) for some in chunks]
            ids = {chunk.id for some in chunks for chunk in some}
        else:
            texts = [answer.choices[0].message.content for answer in answers]
            ids = {answer.id for answer in answers}
        assert texts == ["Paid.", "Paid."]
        assert len(ids) == Session.objects.count() == 1
        with pytest.raises(openai.ConflictError, match="another request"):
            client.chat.completions.create(
                model="simple",
                messages=user_says("Pay twice"),
                extra_headers={"Idempotency-Key": "4711"},
            )

    def test_lost_answer(self, client: openai.OpenAI, model: ToldModel) -> None:
        """The package retries automatically, with the same Idempotency-Key."""
        model.will_say("Paid.")
        with httpx2.Client(transport=LosesFirstAnswer(), timeout=30) as losing:
            patient = client.with_options(max_retries=1, http_client=losing)
            answer = patient.chat.completions.create(
                model="simple", messages=user_says("Pay"), extra_headers={"Idempotency-Key": "4711"}
            )
        assert answer.choices[0].message.content == "Paid."
        assert Message.objects.filter(role="user").count() == 1

    def test_busy_session_is_not_tried_again(
        self, api: ApiClient, user: User, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package does not retry, since the request has already waited."""
        monkeypatch.setattr("agents_app.api.openai.WAIT_SECONDS", 0)
        run = ask(user, agent=agent)
        body = {
            "model": "simple",
            "messages": user_says("Two"),
            "metadata": {"session_id": str(run.session_id)},
        }
        refused = api("POST", "/v1/chat/completions", body)
        assert refused.status_code == 409
        assert refused["X-Should-Retry"] == "false"
