"""A real browser, the served product, and a model with scripted answers.

The system's Chromium, driven by Playwright, talks to a uvicorn process over the tests'
database. Skipped, with the reason, when there is no Chromium. The modules that only look at what a
browser makes of the pages run on SQLite only: they take most of the time.
"""

import shutil
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    expect,
    sync_playwright,
)

from agents_app.models import Agent, AgentRun
from tests.agents_app.chats import make_agent, make_user
from tests.conftest import database_url
from tests.model_server import ToldModel, served_model
from tests.serving import serve

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OpenPage = Callable[..., Page]
expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser_only") and connection.vendor != "sqlite":
            item.add_marker(pytest.mark.skip("depends on the browser alone: runs on SQLite"))
        if CHROMIUM is None and "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.skip("needs Chromium: install the package chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright runs an event loop in this thread, but Django's code is not called from it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "on")
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def model_server() -> Iterator[ToldModel]:
    with served_model(ToldModel()) as running:
        yield running


@pytest.fixture(scope="module")
def served(django_db_setup: None, model_server: ToldModel) -> Iterator[str]:
    """The product's address; it runs in its own process, as with `make run`."""
    with serve(database_url(), AGENT_MODEL="fake", AGENT_BASE_URL=model_server.base_url) as server:
        yield server.address


@pytest.fixture
def model(model_server: ToldModel, served: str, transactional_db: None) -> Iterator[ToldModel]:
    yield model_server
    model_server.release()
    wait_for_runs(served)


def wait_for_runs(served: str) -> None:
    """Wait for the active runs to end before the tables are emptied."""
    for run in AgentRun.objects.active().select_related("session__user"):
        assert run.session.user is not None
        path = reverse("chat-events", kwargs={"session_id": run.session_id, "run_id": run.pk})
        cookie = f"sessionid={log_in(run.session.user)}"
        request = urllib.request.Request(served + path, headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=30) as events:
            events.read()


def log_in(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def agent(model: ToldModel) -> Agent:
    return make_agent(description="A helpful assistant for everyday questions.")


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user()


@pytest.fixture
def open_page(browser: Browser, served: str, user: User, agent: Agent) -> Iterator[OpenPage]:
    """Open a page for the user, in a new browser context or that of a given page.

    Dialogs fail the test, unless a list is given to collect the types of those dismissed.
    Console messages also do, except for failed requests and hints on forms.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if not message.text.startswith(("Failed to load resource", "[DOM]")):
            problems.append(message.text)

    def start(
        path: str = "/chats/",
        *,
        login: bool = True,
        beside: Page | None = None,
        dialogs: list[str] = problems,
        **options: Any,
    ) -> Page:
        def on_dialog(dialog: Dialog) -> None:
            dialogs.append(dialog.type)
            dialog.dismiss()

        if beside is None:
            context = browser.new_context(base_url=served, **options)
            contexts.append(context)
            if login:
                context.add_cookies([{"name": "sessionid", "value": log_in(user), "url": served}])
        else:
            context = beside.context
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", on_console)
        page.on("dialog", on_dialog)
        page.goto(path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()
