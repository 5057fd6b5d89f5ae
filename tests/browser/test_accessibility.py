"""Each page through axe: not one violation, light and dark, wide and narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.contrib.auth.models import User
from playwright.sync_api import expect

from agents_app.models import Agent
from sessions_app.models import Message
from tests.agents_app.chats import answered, failed, make_agent
from tests.browser.conftest import OpenPage
from tests.factories import say
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)

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
        results = Axe().run(page)
        assert results.response["passes"], what
        assert results.violations_count == 0, f"{what}\n{results.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what

    check("login", "Password")
    page = open_page(**window)
    for path, shown in (
        ("/chats/", "Sums up long texts."),
        ("/chats/?q=nowhere", "No chat of yours mentions"),
        (f"/chats/{chat_session.pk}/", "Said elsewhere."),
        (f"/chats/{broken.pk}/", "The model did not answer."),
        (f"/chats/{chat_session.pk}/delete/", "will be deleted"),
    ):
        page.goto(path)
        check(path, shown)

    Message.objects.all().delete()
    page.goto(f"/chats/{chat_session.pk}/")
    page.get_by_text("Rename").click()
    check("nothing said, renaming", "Name of this chat")

    page.goto("/chats/")
    page.get_by_label("Message").fill("Go on")
    page.get_by_role("button", name="Send").click()
    answer = model.asked().say("Half an answer")
    expect(page.get_by_role("log")).to_contain_text("Half an answer")
    check("while it is written", "The answer is being written.")
    answer.end()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    check("when it is there", "Half an answer")


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_many_agents_to_choose_from(
    open_page: OpenPage, user: User, agent: Agent, width: int
) -> None:
    for number in range(7):
        make_agent(f"agent-{number}-{'long' * 20}", description="Sums up long texts. " * 10)
    broken = failed(user).session
    page = open_page(viewport={"width": width, "height": 800})

    def check(label: str) -> None:
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        parts = [
            page.get_by_text(label, exact=True),
            page.get_by_label(label, exact=True),
            page.locator(".composer"),
        ]
        boxes = [part.bounding_box() for part in parts]
        above, field, box = (box for box in boxes if box is not None)
        assert above["x"] == field["x"] == box["x"]
        assert field["width"] == box["width"]
        assert above["y"] + above["height"] <= field["y"] <= above["y"] + 60, "one under the other"
        assert field["y"] + field["height"] <= box["y"]

    check("Agent")
    page.get_by_label("Agent", exact=True).select_option(index=7)
    check("Agent")
    Agent.objects.filter(pk=agent.pk).update(active=False)
    page.goto(f"/chats/{broken.pk}/")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    check("Who is to go on with this chat?")
