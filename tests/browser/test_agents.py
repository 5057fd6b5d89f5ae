"""Choosing an agent: for new and existing chats, by keyboard, among many, without a script."""

import re
import uuid

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from agents_app.models import Agent, AgentRun
from agents_app.services import send_message
from sessions_app.models import Session
from tests.agents_app.chats import answered, failed, make_agent
from tests.browser.axe import check_page
from tests.browser.chatting import agent_chip, choose_agent, conversation, send, write
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

STARTERS = "Plan a trip\nExplain this to a child"
WIDTHS = pytest.mark.parametrize("width", [390, 1440])


def picker(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Choose an agent")


def search(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search agents")


def active_option(page: Page) -> Locator:
    """The option that the search field names as the active one."""
    # The list is filled once its script has loaded.
    expect(search(page)).to_have_attribute("aria-activedescendant", re.compile("."))
    shown = search(page).get_attribute("aria-activedescendant")
    return page.locator(f"[id='{shown}']")


def make_agents(count: int) -> None:
    Agent.objects.bulk_create(
        Agent(
            name=f"agent {number:03} {'long' * 30 if number % 5 == 0 else 'Zoë'}",
            display_name="وكيل الخدمة" if number % 7 == 3 else "",
            description="Sums up long texts. " * 10,
        )
        for number in range(count)
    )


# --- Many agents -----------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
@pytest.mark.parametrize("count", [7, 200])
def test_many_agents(
    open_page: OpenPage, user: User, agent: Agent, count: int, width: int, scheme: str
) -> None:
    make_agents(count - 1)
    chat_session = answered(user)
    page = open_page(viewport={"width": width, "height": 700}, color_scheme=scheme)

    broken = failed(user).session
    Session.objects.filter(pk=broken.pk).update(agent=None)
    for path in ("/chats/", f"/chats/{chat_session.pk}/", f"/chats/{broken.pk}/"):
        page.goto(path)
        check_page(page, path)
        agent_chip(page).click()
        expect(picker(page).get_by_role("option")).to_have_count(count)
        expect(active_option(page)).to_contain_text("simple")
        expect(active_option(page)).to_be_in_viewport()
        box = picker(page).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 700
        check_page(page, f"{path}, open")
        search(page).fill("agent 005")
        expect(picker(page).get_by_role("option")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(picker(page)).to_be_hidden()
        expect(agent_chip(page)).to_contain_text("agent 005 longlong")
        check_page(page, f"{path}, a long name")


@pytest.mark.parametrize("width", [320, 1440])
def test_many_agents_without_javascript(open_page: OpenPage, model: ToldModel, width: int) -> None:
    make_agents(199)
    page = open_page(java_script_enabled=False, viewport={"width": width, "height": 700})
    page.get_by_label("Agent", exact=True).select_option(index=10)
    field, box = page.locator("select").bounding_box(), page.locator(".composer").bounding_box()
    assert field
    assert box
    assert box["x"] <= field["x"]
    assert field["x"] + field["width"] <= box["x"] + box["width"] <= width
    model.will_say("I am.")
    send(page, "Who are you?")
    expect(conversation(page)).to_contain_text("I am.")
    chosen = AgentRun.objects.get().agent
    assert chosen
    assert chosen.name.startswith("agent 01")


# --- By keyboard -----------------------------------------------------------------


@WIDTHS
def test_agent_is_chosen_by_keyboard(
    open_page: OpenPage, agent: Agent, model: ToldModel, width: int
) -> None:
    for name in ("café", "poet", "zebra"):
        make_agent(name, description="Writes verse" if name == "poet" else "")
    page = open_page(viewport={"width": width, "height": 800})
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.press("Tab")
    expect(agent_chip(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(search(page)).to_be_focused()
    expect(active_option(page)).to_contain_text("simple")
    expect(active_option(page)).to_have_attribute("aria-selected", "true")
    for key, name in [
        *(("ArrowDown", "zebra"), ("ArrowDown", "café"), ("ArrowUp", "zebra")),
        *(("PageUp", "café"), ("ArrowDown", "poet")),
    ]:
        page.keyboard.press(key)
        expect(active_option(page)).to_contain_text(name)
    page.keyboard.press("Escape")
    expect(picker(page)).to_be_hidden()
    expect(agent_chip(page)).to_be_focused()
    expect(agent_chip(page)).to_contain_text("simple")

    page.keyboard.press("Space")
    page.keyboard.type("cafe")
    expect(page.get_by_role("option")).to_have_text(["café"])
    search(page).fill("verse")
    expect(active_option(page)).to_contain_text("poet")
    search(page).fill("nobody")
    expect(page.get_by_text("No agents found.")).to_be_visible()
    page.keyboard.press("Enter")
    expect(picker(page)).to_be_visible()
    search(page).fill("POET")
    page.keyboard.press("Enter")
    expect(picker(page)).to_be_hidden()
    expect(agent_chip(page)).to_contain_text("poet")
    expect(page.get_by_label("Message")).to_be_focused()
    model.will_say("Roses are red.")
    page.keyboard.type("A verse")
    page.keyboard.press("Enter")
    expect(conversation(page)).to_contain_text("Roses are red.")
    assert Session.objects.get().agent == make_agent("poet")


def test_without_its_script_the_drop_down_list_takes_the_place_of_the_list(page: Page) -> None:
    make_agent("other")
    page.route("**/agent_picker*.js", lambda route: route.abort())
    page.reload()
    agent_chip(page).click()
    choice = page.get_by_role("combobox", name="Agent")
    expect(choice).to_be_focused()
    choice.select_option("other")
    expect(agent_chip(page)).to_have_count(0)


def test_list_closes_when_one_goes_elsewhere(page: Page) -> None:
    make_agent("other")
    page.reload()
    agent_chip(page).click()
    page.mouse.click(5, 5)
    expect(picker(page)).to_be_hidden()
    agent_chip(page).click()
    expect(search(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(picker(page)).to_be_hidden()


# --- Continuing with another agent -------------------------------------------------


@WIDTHS
@pytest.mark.parametrize("javascript", [True, False])
def test_chat_goes_on_with_another_agent(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool, width: int
) -> None:
    other = make_agent("other", display_name="The other")
    chat_session = answered(user)
    page = open_page(
        f"/chats/{chat_session.pk}/",
        java_script_enabled=javascript,
        viewport={"width": width, "height": 800},
    )
    if javascript:
        choose_agent(page, "The other")
        expect(agent_chip(page)).to_contain_text("The other")
    else:
        page.get_by_label("Agent", exact=True).select_option("The other")
    model.will_say("Here I am.")
    send(page, "Over to you")
    expect(conversation(page)).to_contain_text("Here I am.")
    expect(page.get_by_text("with The other")).to_be_visible()
    headings = conversation(page).locator(".theirs h2")
    expect(headings).to_have_text(["simple", "The other"])
    model.will_say("Still me.")
    send(page, "And now?")
    expect(conversation(page)).to_contain_text("Still me.")
    expect(headings).to_have_text(["simple", "The other", "The other"])
    assert Session.objects.get().agent == other


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("count", [1, 7], ids=["one", "so many that only names are shown"])
def test_long_names_are_wrapped_in_the_menu_of_other_agents(
    open_page: OpenPage, user: User, width: int, count: int
) -> None:
    for number in range(count):
        make_agent(f"agent {number}", display_name="Longname" * 10 + str(number))
    path = f"/chats/{answered(user).pk}/"
    page = open_page(path, viewport={"width": width, "height": 800})
    page.get_by_role("button", name="with another agent").click()
    buttons = page.get_by_role("dialog", name="Regenerate with").get_by_role("button")
    expect(buttons).to_have_count(count)
    for button in buttons.all():
        assert button.evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize(
    ("javascript", "width"), [(True, 1440), (True, 390), (False, 390), (False, 1440)]
)
def test_another_agent_answers_anew(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool, width: int
) -> None:
    poet = make_agent("poet", display_name="The poet", description="Says it in verse.")
    page = open_page(
        f"/chats/{answered(user, answer='Prose.').pk}/",
        java_script_enabled=javascript,
        viewport={"width": width, "height": 800},
    )
    menu = page.get_by_role("dialog", name="Regenerate with")
    page.get_by_role("button", name="with another agent").click()
    expect(menu.get_by_role("button")).to_have_count(1)
    if javascript:
        check_page(page, "the menu of other agents")
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        expect(page.get_by_role("button", name="with another agent")).to_be_focused()
        page.keyboard.press("Enter")
    model.will_say("In verse.")
    menu.get_by_role("button", name="The poet").click()
    expect(conversation(page)).to_contain_text("In verse.")
    expect(conversation(page)).not_to_contain_text("Prose.")
    expect(menu).to_be_hidden()
    expect(conversation(page).locator(".theirs h2")).to_have_text(["The poet"])
    expect(page.get_by_text("with The poet")).to_be_visible()
    assert Session.objects.get().agent == poet

    # The other way round, and back and forth between the versions.
    page.get_by_role("button", name="with another agent").click()
    model.will_say("Plainly.")
    menu.get_by_role("button", name="simple").click()
    expect(conversation(page)).to_contain_text("Plainly.")
    expect(page.get_by_text("with simple")).to_be_visible()
    page.get_by_role("button", name="Previous version of answer 1, by The poet").click()
    expect(conversation(page).locator(".theirs h2")).to_have_text(["The poet"])
    model.will_say("And on.")
    send(page, "Go on")
    expect(conversation(page)).to_contain_text("And on.")
    expect(page.get_by_role("button", name="with another agent")).to_have_count(1)


def test_page_that_was_open_before_does_not_switch_back(
    open_page: OpenPage, user: User, model: ToldModel
) -> None:
    other = make_agent("other")
    chat_session = answered(user)
    page = open_page(f"/chats/{chat_session.pk}/")
    send_message(
        user=user,
        session_id=chat_session.pk,
        text="Elsewhere",
        message_id=uuid.uuid4(),
        agent_id=other.pk,
        switch=True,
    ).finish(AgentRun.Status.DONE)
    expect(agent_chip(page)).to_contain_text("simple")
    model.will_say("The other one's.")
    send(page, "Whose turn is it?")
    expect(conversation(page)).to_contain_text("The other one's.")
    expect(conversation(page).locator(".theirs h2").last).to_have_text("other")
    expect(agent_chip(page)).to_contain_text("other")
    assert Session.objects.get().agent == other


def test_choice_outlives_a_refresh_and_a_reload(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    make_agent("other")
    page = open_page(f"/chats/{answered(user).pk}/")
    choose_agent(page, "other")
    write(page, "Half a thought")
    make_agent("third")
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("select[name=agent] option")).to_have_count(3)
    expect(agent_chip(page)).to_contain_text("other")
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("Half a thought")
    expect(agent_chip(page)).to_contain_text("other")


# --- Starter prompts ---------------------------------------------------------------


@WIDTHS
@pytest.mark.parametrize("javascript", [True, False])
def test_starter_prompt_fills_the_box(
    open_page: OpenPage, agent: Agent, model: ToldModel, javascript: bool, width: int
) -> None:
    make_agent("simple", starter_prompts=STARTERS)
    page = open_page(java_script_enabled=javascript, viewport={"width": width, "height": 800})
    page.get_by_role("link", name="Explain this to a child").click()
    expect(page.get_by_label("Message")).to_have_value("Explain this to a child")
    expect(page.get_by_role("link", name="Plan a trip")).to_be_hidden()
    assert not Session.objects.exists()
    if javascript:
        expect(page.get_by_label("Message")).to_be_focused()
        page.get_by_label("Message").fill("")
        expect(page.get_by_role("link", name="Plan a trip")).to_be_visible()
        page.get_by_role("link", name="Plan a trip").click()
    model.will_say("Gladly.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Gladly.")


def test_starter_prompts_are_those_of_the_chosen_agent(page: Page) -> None:
    make_agent("simple", starter_prompts=STARTERS)
    make_agent("poet", starter_prompts="Write a haiku")
    make_agent("silent")
    page.reload()
    starters = page.get_by_role("list", name="Suggested prompts").get_by_role("link")
    expect(starters).to_have_text(STARTERS.splitlines())
    choose_agent(page, "poet")
    expect(starters).to_have_text(["Write a haiku"])
    choose_agent(page, "silent")
    expect(starters).to_have_count(0)
    choose_agent(page, "poet")
    starters.click()
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("Write a haiku")
    expect(agent_chip(page)).to_contain_text("poet")
    page.get_by_label("Message").fill("")
    expect(starters).to_have_text(["Write a haiku"])


# --- The box -----------------------------------------------------------------------


@WIDTHS
def test_box_grows_with_its_text(open_page: OpenPage, user: User, agent: Agent, width: int) -> None:
    chat_session = answered(user)
    page = open_page(viewport={"width": width, "height": 800}, has_touch=width == 390)
    for path in ("/chats/", f"/chats/{chat_session.pk}/"):
        page.goto(path)
        text = page.get_by_label("Message")

        def height() -> float:
            box = page.get_by_label("Message").bounding_box()
            assert box
            return float(box["height"])

        low = height()
        text.fill("line\n" * 6)
        assert height() > low + 60
        text.fill("line\n" * 600)
        assert height() <= 320, "it scrolls"
        button = page.get_by_role("button", name="Send")
        expect(button).to_be_in_viewport(ratio=1)
        size = button.bounding_box()
        assert size
        if width == 390:
            assert min(size["width"], size["height"]) >= 44
        text.fill("")
        assert height() == low
