"""The embedded model, as after a fresh `make run`."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from agents_app.web.rendering.markdown import plain_text
from sessions_app.models import Message
from tests.agents_app.chats import make_agent
from tests.browser.conftest import log_in
from tests.conftest import database_url
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_answers(browser: Browser, user: User) -> None:
    make_agent()
    with serve(database_url(), AGENT_MODEL="local", AGENT_BASE_URL="") as server:
        address = server.address
        context = browser.new_context(base_url=address)
        context.add_cookies([{"name": "sessionid", "value": log_in(user), "url": address}])
        page = context.new_page()
        page.goto("/chats/")
        page.get_by_label("Message").fill("Say hello in one short sentence.")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("[data-answer][data-status=done]")).to_be_visible(timeout=120_000)
        said = plain_text(Message.objects.get(role="assistant").text_content)
        assert said
        expect(page.locator(".theirs .text")).to_have_text(said)
        context.close()
