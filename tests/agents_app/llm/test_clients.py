"""Clients of models: opened once per event loop, and closed with it."""

import asyncio
from typing import Any

import pytest
from pytest_django import Settings

from agents_app.llm.clients import open_model
from agents_app.llm.model_strings import ModelNotConfigured


@pytest.fixture(autouse=True)
def own_server(settings: Settings) -> None:
    settings.AGENT_MODEL, settings.AGENT_API_KEY = "", ""
    settings.AGENT_BASE_URL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize("text", ["qwen3", "local"])
def test_clients_are_shared_in_an_event_loop_and_closed_with_it(text: str) -> None:
    async def open_twice() -> Any:
        models: list[Any] = await asyncio.gather(open_model(text), open_model(text))
        models.append(await open_model(text))
        assert models[0] is models[1] is models[2]
        assert not models[0].client.is_closed()
        return models[0]

    assert asyncio.run(open_twice()).client.is_closed()


def test_a_cancelled_run_does_not_cancel_the_opening_for_others() -> None:
    async def cancel_first() -> None:
        first = asyncio.create_task(open_model("qwen3"))
        second = asyncio.create_task(open_model("qwen3"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is await open_model("qwen3")
        assert first.cancelled()

    asyncio.run(cancel_first())


def test_a_model_that_could_not_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)

    async def open_later() -> None:
        with pytest.raises(ModelNotConfigured):
            await open_model("deepseek:deepseek-chat")
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-1")
        assert (await open_model("deepseek:deepseek-chat")).model_name == "deepseek-chat"

    asyncio.run(open_later())
