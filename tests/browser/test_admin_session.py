"""A session's page in the admin, in a browser: no violation, keys, and the linked message."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from agents_app.models import Agent, AgentRun
from sessions_app.models import Review
from tests.agents_app.chats import answered, failed
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.browser.test_accessibility import ANSWER
from tests.factories import make_session, say
from tests.sessions_app.admin.helpers import change_url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user(user: User) -> User:
    user.is_staff = user.is_superuser = True
    user.save()
    return user


def test_a_session_is_read_and_reviewed(open_page: OpenPage, user: User, agent: Agent) -> None:
    older = make_session(name="Older")
    chat_session = answered(user, "What shall we do?", ANSWER)
    call = {"0": {"tool_name": "clock", "args": {"zone": "UTC"}}}
    say(chat_session, "Be kind.", role="system")
    say(chat_session, "", role="assistant", tool_calls=call, agent=agent)
    last = say(chat_session, "And then?", user=user)
    AgentRun.objects.create(
        session=chat_session,
        message=last,
        status=AgentRun.Status.FAILED,
        error="No credit left.\nTraceback",
        text="Half an",
        finished_at=last.created_at,
    )
    newer = failed(user).session
    url = change_url(chat_session)
    for scheme, width in (("light", 1440), ("dark", 768), ("dark", 390), ("light", 390)):
        page = open_page(
            f"{url}?message={last.pk}",
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
        )
        expect(page.locator(".linked")).to_be_in_viewport()
        for folded in page.locator("main details").all():
            folded.evaluate("element => { element.open = true; }")
        check_page(page, f"{scheme} {width}")

    page = open_page(url)
    page.get_by_label("Note").fill("jk")  # in a field, keys are just letters
    page.get_by_role("button", name="Bad").click()
    expect(page.get_by_text("The review was saved.")).to_be_visible()
    assert Review.objects.get().note == "jk"
    for key, neighbour in (("j", older), ("k", chat_session), ("k", newer)):
        page.wait_for_load_state()
        page.keyboard.press(key)
        expect(page).to_have_url(change_url(neighbour))
