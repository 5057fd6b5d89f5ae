"""The first screen: what a new user sees, and where."""

import pytest
from playwright.sync_api import expect

from agents_app.models import Agent
from tests.browser.conftest import OpenPage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

PLACE = """() => {
    const top = document.querySelector(".new-chat h1").getBoundingClientRect().top;
    const parts = document.querySelectorAll(".new-chat form, .starters li");
    const bottoms = Array.from(parts).map((part) => part.getBoundingClientRect().bottom);
    return (top + Math.max(...bottoms)) / 2 / innerHeight;
}"""


@pytest.mark.parametrize("starters", [[], ["Sum up a text", "Write a poem", "Plan a trip", "Why?"]])
@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1440, 900)])
def test_it_is_in_the_middle_or_a_little_above(
    open_page: OpenPage, agent: Agent, size: tuple[int, int], starters: list[str]
) -> None:
    agent.starter_prompts = "\n".join(starters)
    agent.save()
    page = open_page(viewport={"width": size[0], "height": size[1]})
    expect(page.get_by_role("link", name="Plan a trip")).to_have_count(int(bool(starters)))
    assert 0.4 <= page.evaluate(PLACE) <= 0.52
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "all is in view"
