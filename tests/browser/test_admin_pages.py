"""Every page of the admin in a browser: axe in both themes, wide and narrow; and its lists' rows.

The pages are the admin's URLs with the rows of tests/admin_access.py, so that new pages are
checked automatically.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from agents_app.accounts.api_keys import create_key
from agents_app.models import Agent, AgentRun, ApiKey, Feedback, Scope
from sessions_app.models import CleanupRun, Export, Review, Session, TranscriptReading
from tests.admin_access import ACTIONS, MODELS, PAGES, Address, addresses, log_entries, make_rows
from tests.agents_app.chats import failed, make_agent, make_user
from tests.browser.axe import MIDDLE, NARROW, WIDE, check_shapes
from tests.browser.conftest import OpenPage
from tests.browser.in_process import answer_in_process
from tests.factories import say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

ADDRESSES = [
    address
    for address in addresses()
    if PAGES[address.name].status == 200
    and PAGES[address.name].see.allows(frozenset(), is_superuser=True)
]
SECTIONS = [
    Address("section", f"{label}/")
    for label in sorted({model._meta.app_label for model in admin.site._registry})
]
LONG = "A name that is longer than any column of a list " * 3


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def rows(user: User, agent: Agent) -> dict[str, Model]:
    rows = make_rows()
    log_entries(user, rows)
    return rows


def resize(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})


def answer_here(page: Page, user: User, pattern: str, *methods: str) -> None:
    """Answer these requests in this process, which knows the current content types."""
    client = Client()
    client.force_login(user)

    def answer(route: Route) -> None:
        if route.request.method in methods:
            answer_in_process(route, client)
        else:
            route.continue_()

    page.route(pattern, answer)


@pytest.mark.parametrize("model", ["", *MODELS], ids=lambda model: model or "site")
def test_pages_have_no_violations(
    open_page: OpenPage, user: User, rows: dict[str, Model], model: str
) -> None:
    page = open_page("/admin/", reduced_motion="reduce")
    answer_here(page, user, "**/history/", "GET")
    found = [address for address in ADDRESSES if address.model == model]
    for address in [*found, *([] if model else SECTIONS)]:
        response = page.goto(address.url(rows))
        assert response is not None
        if "text/html" not in response.headers["content-type"]:
            continue
        assert response.status == 200, address
        for folded in page.locator("#content details:not([name])").all():
            folded.evaluate("element => { element.open = true; }")
        check_shapes(page, address.name)
        if address.name.endswith("_history"):
            expect(page.locator("#change-history tbody tr")).not_to_have_count(0)
        if address.name.endswith("_add"):
            page.locator("[name=_save]").click()
            expect(page.locator(".errornote")).to_be_visible()
            check_shapes(page, f"{address.name} with errors")


@pytest.mark.parametrize("model", ACTIONS)
def test_pages_of_actions_have_no_violations(
    open_page: OpenPage, user: User, rows: dict[str, Model], model: str
) -> None:
    url = reverse(f"admin:{model}_changelist")
    page = open_page(url, reduced_motion="reduce")
    answer_here(page, user, f"**{url}", "POST")
    for action in ACTIONS[model]:
        page.goto(url)
        page.locator("#action-toggle").check()
        page.locator("select[name=action]").select_option(action)
        page.locator("button[name=index]").click()  # "Go", and "Run" since Django 6.1
        expect(page.locator("#content h1")).to_be_visible()
        check_shapes(page, action)
        resize(page, WIDE)


def test_only_the_script_focuses_the_first_field_of_a_new_user(
    open_page: OpenPage, user: User
) -> None:
    """Where the admin's script comes before autofocus, Chromium reports that it was blocked."""
    page = open_page(reverse("admin:auth_user_add"))
    expect(page.locator("[name=username]")).to_be_focused()
    assert page.locator("[autofocus]").count() == 0


# --- Lists ---------------------------------------------------------------------------


def add_long_rows(user: User) -> None:
    """Add a row to each list with values as long as its columns allow."""
    long = make_user("u" * 150, email=f"{'e' * 60}@example.org", first_name=LONG, last_name=LONG)
    agent = make_agent("a" * 100, description=LONG, model=f"openai:{'m' * 80}")
    run = failed(long, LONG, error=LONG)
    answer = say(run.session, f"# {LONG}\n\n* {LONG}\n* {LONG}", role="assistant", agent=agent)
    AgentRun.objects.filter(pk=run.pk).update(
        model=agent.model,
        input_tokens=1_234_567,
        output_tokens=1_234_567,
        cost="123.45",
        agent=agent,
        status=AgentRun.Status.INTERRUPTED,  # the longest word
    )
    Session.objects.filter(pk=run.session_id).update(name=LONG, agent=agent, platform="automagik")
    Review.objects.create(
        session=run.session, verdict="bad", note=LONG, flagged=True, reviewed_at=timezone.now()
    )
    Feedback.objects.create(message=answer, user=long, is_good=False, reason=LONG)
    CleanupRun.objects.create(
        source=CleanupRun.Source.COMMAND,
        started_by=LONG,
        matched=1_234_567,
        removed=1_234_567,
        restored=1_234_567,
        status=CleanupRun.Status.FAILED,
        error=LONG,
        finished_at=timezone.now(),
    )
    TranscriptReading.objects.create(
        user=long, username=long.username, via="list of messages", query=f"q={LONG}&p=2"
    )
    Export.objects.create(
        user=long, username=long.username, selection=LONG, format="csv", with_transcripts=True
    )
    tomorrow = timezone.now() + timedelta(days=1)
    key, _ = create_key(long, name=LONG[:80], scopes=list(Scope), expires_at=tomorrow)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=tomorrow, revoked_at=tomorrow)
    Group.objects.create(name=LONG[:150])
    address_model: Any = apps.get_model("account", "EmailAddress")
    address_model.objects.create(user=long, email=long.email, verified=True, primary=True)


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_a_list_have_one_height(
    open_page: OpenPage, user: User, rows: dict[str, Model], model: str
) -> None:
    add_long_rows(user)
    page = open_page(reverse(f"admin:{model}_changelist"))
    listed = page.locator("#result_list tbody tr")
    assert listed.count() > 1
    for size in (WIDE, MIDDLE, NARROW):
        resize(page, size)
        what = f"{model} {size[0]}"
        heights = listed.evaluate_all("rows => rows.map((row) => Math.round(row.offsetHeight))")
        assert len(set(heights)) == 1, f"{what}: {heights}"
        assert times_that_wrap_or_are_cut(page) == [], what
        assert badges_that_are_cut(page) == [], what
        box = page.locator(".results")
        assert box.evaluate("box => box.scrollWidth <= box.clientWidth"), f"{what}: is cut off"


def times_that_wrap_or_are_cut(page: Page) -> list[str]:
    found: list[str] = page.locator("#result_list tbody :is(td, th)").evaluate_all(
        """cells => cells.filter((cell) => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            const isWhole = lines.size === 1 && cell.scrollWidth <= cell.clientWidth;
            return /^\\d{4}-\\d\\d-\\d\\d/.test(cell.textContent) && cell.offsetWidth && !isWhole;
        }).map((cell) => cell.textContent)"""
    )
    return found


def badges_that_are_cut(page: Page) -> list[str]:
    found: list[str] = page.locator("#result_list tbody td:has(> .badge)").evaluate_all(
        """cells => cells.filter((cell) => cell.scrollWidth > cell.clientWidth)
            .map((cell) => cell.textContent)"""
    )
    return found
