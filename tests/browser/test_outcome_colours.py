"""An outcome has one colour wherever staff see it: in charts, their legends, lists and pages."""

import colorsys

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from agents_app.models import Agent, AgentRun
from tests.agents_app.chats import ask, make_user
from tests.browser.conftest import OpenPage
from tests.sessions_app.admin.helpers import change_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

HUES = {"done": "green", "stopped": "yellow", "failed": "red", "interrupted": "red"}
# Any CSS colour as red, green and blue.
AS_RGB = """(element, property) => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = getComputedStyle(element)[property];
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


@pytest.fixture
def user(transactional_db: None) -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def hue(element: Locator, name: str) -> str:
    """The name of the hue of one of the element's properties."""
    rgb = element.evaluate(AS_RGB, name)
    angle, _, _ = colorsys.rgb_to_hls(*(part / 255 for part in rgb))
    degrees = 360 * angle
    if rgb[0] == rgb[1] == rgb[2]:
        return "grey"
    if degrees < 20 or degrees > 340:
        return "red"
    return "yellow" if degrees < 65 else "green" if 100 < degrees < 170 else f"{degrees:.0f}°"


def badge(page: Page, text: str) -> str:
    return hue(page.locator(".badge").get_by_text(text, exact=True).first, "color")


def test_an_outcome_has_one_colour_everywhere(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    runs: dict[str, AgentRun] = {}
    for status in HUES:
        runs[status] = ask(user)
        runs[status].finish(AgentRun.Status(status))
    page = open_page("/admin/", reduced_motion="reduce")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        seen: dict[str, dict[str, str]] = {status: {} for status in HUES}
        page.goto("/admin/")
        chart = page.get_by_role("region", name="Answers", exact=True)
        for status, places in seen.items():
            bar = chart.locator("rect", has_text=f"1 {status}")
            key = chart.locator(".legend li", has_text=status.capitalize()).locator(".key")
            places["bar of the chart"] = hue(bar, "fill")
            places["key of the chart"] = hue(key, "backgroundColor")
        for path in ("/admin/sessions_app/session/", "/admin/agents_app/agentrun/"):
            page.goto(path)
            for status, places in seen.items():
                places[path] = badge(page, status.capitalize())
        for status, places in seen.items():
            page.goto(change_url(runs[status]))
            places["page of the run"] = badge(page, status.capitalize())
            page.goto(change_url(runs[status].session))
            expect(page.locator(".run-line")).to_be_visible()
            places["head of the session"] = badge(page, f"Last answer {status}")
            places["run in the conversation"] = badge(page, status.capitalize())
        assert seen == {
            status: dict.fromkeys(places, HUES[status]) for status, places in seen.items()
        }, scheme
