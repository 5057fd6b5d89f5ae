"""The clients through which models are asked, kept open as long as their event loop runs.

The libraries are imported where they are used: they take about a second.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from django.conf import settings

from agents_app.llm import embedded
from agents_app.llm.model_strings import HOW_TO, LOCAL, Kind, ModelNotConfigured, parse_model_string

if TYPE_CHECKING:
    from pydantic_ai.models import Model


def resolve_model(text: str) -> "Model":
    """The model that a string means; takes about a second when it is the first of a process.

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
    """Import what most models need: the embedded one, OpenAI's and those of one's own server."""
    import pydantic_ai.models.openai  # noqa: F401 - imported for those who import it later


async def open_model(text: str) -> "Model":
    """As `resolve_model`, but made once per event loop, so that connections are kept alive.

    They are closed when the loop shuts its async generators down, as `asyncio.run` does.
    """
    opened = _opened.setdefault(asyncio.get_running_loop(), {})
    key = (text, settings.AGENT_MODEL, settings.AGENT_BASE_URL, settings.AGENT_API_KEY)
    if key not in opened:
        opened[key] = asyncio.create_task(_open(text))
    try:
        # A run that is cancelled meanwhile must not take the model from the others.
        return (await asyncio.shield(opened[key])).model
    except Exception:
        opened.pop(key, None)  # so that the next one tries again
        raise


@dataclass(frozen=True)
class _OpenModel:
    model: "Model"
    closing: AsyncGenerator[None]


_Key = tuple[str, str, str, str]
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, asyncio.Task[_OpenModel]]]
_opened = WeakKeyDictionary()


async def _open(text: str) -> _OpenModel:
    # Importing a provider's library takes a while, and so does loading the embedded model.
    model = await asyncio.to_thread(resolve_model, text)
    closing = _close_with_loop(model)
    await anext(closing)
    return _OpenModel(model, closing)


async def _close_with_loop(model: "Model") -> AsyncGenerator[None]:
    """Suspended until the event loop ends.

    A generator, since that is the only thing that a loop closes by itself: whoever calls
    `asyncio.run(agent.run(…))` has no other place to close clients, and without it the
    connections are still open when the interpreter ends (ResourceWarning).
    """
    try:
        async with model:
            yield
    finally:
        _opened.pop(asyncio.get_running_loop(), None)
        client = getattr(model, "client", None)
        if isinstance(client, AbstractAsyncContextManager):
            # The model does not close a client that was handed to it.
            await client.__aexit__(None, None, None)


def _embedded_model() -> "Model":
    import httpx2
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    try:
        endpoint = embedded.endpoint()
    except embedded.EmbeddedModelMissing as error:
        raise ModelNotConfigured(str(error)) from error
    client = AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        # Neither a proxy from the environment nor certificates: it never leaves the machine.
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

    provider = OpenAICompatibleProvider(
        "openai-compatible",
        base_url=settings.AGENT_BASE_URL,
        api_key=settings.AGENT_API_KEY or None,
    )
    profile = merge_profile(
        provider.model_profile(name),
        # Ollama and others take no notice of the newer field for the token limit.
        OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
    )
    return OpenAIChatModel(name, provider=provider, profile=profile)


def _hosted_model(text: str) -> "Model":
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model

    try:
        return infer_model(text)
    except UserError as error:
        # The library tells only in its text which variables are missing; they stand in
        # backticks, and the words around them are for programmers.
        variables = re.findall(r"`([A-Z][A-Z0-9_]+)`", error.message)
        if not variables:
            raise ModelNotConfigured(f"The model {text} cannot be used. {HOW_TO}") from error
        needed = "an API key" if any("KEY" in name for name in variables) else "settings"
        raise ModelNotConfigured(
            f"The model {text} needs {needed}: set {' or '.join(dict.fromkeys(variables))}."
        ) from error
