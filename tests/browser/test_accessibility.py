"""No axe violations on any page, light and dark, wide and narrow."""

import re

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from agents_app.models import Agent
from agents_app.web.urls import urlpatterns
from sessions_app.models import Message
from tests.agents_app.chats import answered, failed, make_agent
from tests.browser.axe import check_page
from tests.browser.chat_pages import NO_PAGES, PAGES, full_chat, ids_for
from tests.browser.chatting import wait_for_end
from tests.browser.conftest import OpenPage
from tests.factories import say
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

ANSWER = """# Plan

Some **words**, a [link](https://example.org) and `code`.

### Steps

1. One
2. Two

| a | b |
|:--|--:|
| 1 | 2 |

```python
print("a line that is far too long for a narrow window, so that it has to be scrolled sideways")
```

> Said elsewhere.
"""

NAMES = re.compile(r'^ *- (?:button|link) "([^"]+)"', re.MULTILINE)

WINDOWS = [
    pytest.param({"color_scheme": scheme, "viewport": size}, id=f"{scheme}-{size['width']}")
    for scheme in ("light", "dark")
    for size in ({"width": 1280, "height": 800}, {"width": 360, "height": 740})
]


@pytest.mark.parametrize("window", WINDOWS)
def test_no_violations(
    open_page: OpenPage, user: User, agent: Agent, model: ToldModel, window: dict[str, object]
) -> None:
    make_agent("summary", description="Sums up long texts.")
    chat_session = answered(user, "What shall we do?\nAnd when?", ANSWER)
    say(chat_session, "", role="assistant", tool_calls=[{"tool_name": "weather"}], agent=agent)
    say(chat_session, "Sunny", role="tool", agent=agent)
    broken = failed(user).session
    page = open_page("/accounts/login/", login=False, **window)

    def check(what: str, shown: str) -> None:
        expect(page.get_by_role("main")).to_contain_text(shown)
        check_page(page, what)

    check("login", "Password")
    page = open_page(**window)
    for path, shown in (
        ("/chats/", "Hello, "),
        ("/chats/?q=nowhere", "None of your chats mention"),
        (f"/chats/{chat_session.pk}/", "Said elsewhere."),
        (f"/chats/{broken.pk}/", "The model did not answer."),
        (f"/chats/{chat_session.pk}/delete/", "will be moved to the trash"),
    ):
        page.goto(path)
        check(path, shown)

    Message.objects.all().delete()
    page.goto(f"/chats/{chat_session.pk}/")
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    expect(page.get_by_label("New name")).to_be_visible()
    check_page(page, "no messages, renaming")

    page.goto("/chats/")
    page.get_by_label("Message").fill("Go on")
    page.get_by_role("button", name="Send").click()
    answer = model.asked().say("Half an answer")
    expect(page.get_by_role("log")).to_contain_text("Half an answer")
    check("while it is written", "The answer is being written.")
    answer.end()
    wait_for_end(page)
    check("when it is there", "Half an answer")


REPEATED_IDS = """
Array.from(document.querySelectorAll("[id]"), (element) => element.id)
    .filter((id, index, ids) => ids.indexOf(id) !== index)
"""


def test_every_url_is_looked_at_or_has_no_page() -> None:
    assert {*PAGES} | NO_PAGES == {pattern.name for pattern in urlpatterns}
    assert not {*PAGES} & NO_PAGES


@pytest.mark.parametrize("window", WINDOWS)
def test_pages_with_several_of_everything(
    open_page: OpenPage, user: User, agent: Agent, window: dict[str, object]
) -> None:
    chat_session = full_chat(user, agent)
    page = open_page(**window)
    for name, queries in PAGES.items():
        for query in queries:
            page.goto(reverse(name, kwargs=ids_for(name, chat_session)) + query)
            for folded in page.locator("main details").all():
                folded.evaluate("element => { element.open = true; }")
            check_page(page, f"{name}{query}")
            assert page.evaluate(REPEATED_IDS) == [], f"{name}{query}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("preference", [{"contrast": "more"}, {"forced_colors": "active"}])
def test_more_contrast(
    open_page: OpenPage, user: User, agent: Agent, preference: dict[str, str], scheme: str
) -> None:
    chat_session = full_chat(user, agent)
    page = open_page(color_scheme=scheme, **preference)
    for path in ("/chats/", f"/chats/{chat_session.pk}/", "/chats/?q=said", "/chats/all/"):
        page.goto(path)
        check_page(page, path)


def test_tables_of_one_chat_are_told_apart(open_page: OpenPage, user: User, agent: Agent) -> None:
    tables = "| a |\n|---|\n| 1 |\n\n" * 2
    chat_session = answered(user, answer=tables)
    say(chat_session, tables, role="assistant", agent=agent)
    check_page(open_page(f"/chats/{chat_session.pk}/"))


def test_controls_of_several_messages_say_whose_they_are(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    make_agent("other")
    page = open_page(f"/chats/{full_chat(user, agent).pk}/")
    expect(page.get_by_label("Message")).to_be_focused()  # the script has run
    names = NAMES.findall(page.get_by_role("log").aria_snapshot())
    assert {"Good answer 3", "Bad answer 3", "Copy answer 3", "Edit question 3"} < set(names)
    assert sorted(names) == sorted(set(names))
