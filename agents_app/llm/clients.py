"""Clients for language models, one per model and event loop, with connections kept alive.

The agent library is imported inside functions: importing it takes about a second.
"""

import asyncio
import re
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from agents_app.llm import embedded
from agents_app.llm.model_strings import HOW_TO, LOCAL, Kind, ModelNotConfigured, parse_model_string

if TYPE_CHECKING:
    from pydantic_ai.models import Model


_OWN_SERVER = "openai-compatible"
# Their tokens are free, even if a model has the name of one that the library knows a price for.
UNPRICED_PROVIDERS = {LOCAL, _OWN_SERVER}


def resolve_model(text: str) -> "Model":
    """The model that a model string names. The first call of a process takes about a second.

    Raises ModelNotConfigured.
    """
    model = parse_model_string(text)
    match model.kind:
        case Kind.EMBEDDED:
            return _embedded_model()
        case Kind.OWN_SERVER:
            return _own_server_model(model.name)
        case Kind.HOSTED:
            return _hosted_model(model.name)


def import_library() -> None:
    """Import what the embedded model, OpenAI's models and OpenAI-compatible servers need."""
    import pydantic_ai.models.openai  # noqa: F401 - only to have it imported

    import agents_app.llm.openai_client  # noqa: F401 - likewise


async def open_model(text: str) -> "Model":
    """Like `resolve_model`, but once per event loop, so that connections are kept alive.

    They are closed when the loop ends as `asyncio.run` ends it, by cancelling its tasks.
    """
    loop = asyncio.get_running_loop()
    opened = _opened.setdefault(loop, {})
    key = (text, settings.AGENT_MODEL, settings.AGENT_BASE_URL, settings.AGENT_API_KEY)
    if key not in opened:
        model: asyncio.Future[Model] = loop.create_future()
        opened[key] = _OpenModel(model, loop.create_task(_keep_open(text, model)))
    try:
        # Shielded: when this run is cancelled, others may still be waiting for the same model.
        return await asyncio.shield(opened[key].model)
    except Exception:
        opened.pop(key, None)  # so that the next call tries again
        raise


@dataclass(frozen=True)
class _OpenModel:
    model: "asyncio.Future[Model]"
    keeper: "asyncio.Task[None]"


_Key = tuple[str, str, str, str]
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _OpenModel]] = WeakKeyDictionary()


async def _keep_open(text: str, opened: "asyncio.Future[Model]") -> None:
    """Open a model, and close it when this task is cancelled.

    Measured: without it, every `asyncio.run` leaves a connection open to a server that keeps
    them alive.
    """
    async with AsyncExitStack() as stack:
        try:
            # In a thread: importing a provider's library or loading the embedded model is slow.
            model = await asyncio.to_thread(resolve_model, text)
            await stack.enter_async_context(model)
        except Exception as error:
            opened.set_exception(error)
            return
        client = getattr(model, "client", None)
        if isinstance(client, AbstractAsyncContextManager):
            # The model does not close a client that it was given.
            stack.push_async_exit(client)
        stack.callback(_opened.pop, asyncio.get_running_loop(), None)
        opened.set_result(model)
        await asyncio.Event().wait()


def _embedded_model() -> "Model":
    import httpx2
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    from agents_app.llm.openai_client import OpenAIClient

    try:
        endpoint = embedded.endpoint()
    except embedded.EmbeddedModelMissing as error:
        raise ModelNotConfigured(str(error)) from error
    client = OpenAIClient(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        # It never leaves the machine: no proxy from the environment, no certificates to load.
        http_client=httpx2.AsyncClient(trust_env=False, verify=False),
        timeout=settings.AGENT_TIME_LIMIT,
    )
    provider = OpenAICompatibleProvider(LOCAL, openai_client=client)
    return OpenAIChatModel(embedded.NAME, provider=provider)


def _own_server_model(name: str) -> "Model":
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles import merge_profile
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    from agents_app.llm.openai_client import OpenAIClient

    client = OpenAIClient(
        base_url=settings.AGENT_BASE_URL,
        # The client would send OPENAI_API_KEY to this server instead of no key.
        api_key=settings.AGENT_API_KEY or "none",
    )
    provider = OpenAICompatibleProvider(_OWN_SERVER, openai_client=client)
    profile = merge_profile(
        provider.model_profile(name),
        # Ollama and others ignore the newer field, max_completion_tokens.
        OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
    )
    return OpenAIChatModel(name, provider=provider, profile=profile)


def _hosted_model(text: str) -> "Model":
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    try:
        return infer_model(text)
    except UserError as error:
        # Provider classes do not say which variables they need. Only this text does, in backticks,
        # among advice for programmers.
        variables = re.findall(r"`([A-Z][A-Z0-9_]+)`", error.message)
        if not variables:
            raise ModelNotConfigured(f"The model {text} cannot be used. {HOW_TO}") from error
        needed = "an API key" if any("KEY" in name for name in variables) else "settings"
        raise ModelNotConfigured(
            f"The model {text} needs {needed}: set {' or '.join(dict.fromkeys(variables))}."
        ) from error
