"""The API documentation in a browser: complete, served from this host, in both themes."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from agents_app.api.urls import api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

# Not localhost, where Swagger UI does less.
PUBLIC = "https://chat.example.org"
WINDOWS = [
    pytest.param(width, scheme, id=f"{scheme}-{width}")
    for scheme in ("light", "dark")
    for width in (390, 1440)
]


@pytest.mark.parametrize(("width", "scheme"), WINDOWS)
def test_page(browser: Browser, served: str, width: int, scheme: str) -> None:
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
    )
    page = context.new_page()
    problems: list[str] = []
    policies: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))

    def serve(route: Route) -> None:
        url = urlsplit(route.request.url)
        if f"{url.scheme}://{url.netloc}" != PUBLIC:
            problems.append(route.request.url)
            route.abort()
            return
        response = route.fetch(url=f"{served}{url.path}")
        if url.path == "/api/v1/docs":
            policies.append(response.headers["content-security-policy"])
        route.fulfill(response=response)

    page.route(re.compile("^https?:"), serve)
    page.goto(f"{PUBLIC}/api/v1/docs")
    expect(page.get_by_role("heading", name="Parley API")).to_be_visible()
    check_operations(page)
    page.locator(".opblock-summary-path", has_text="/v1/chat/completions").click()
    operation = page.locator(".opblock.is-open")
    expect(operation).to_contain_text("Idempotency-Key")
    # One for the request, one for the response, and one for all errors.
    examples = operation.locator(".model-example:visible")
    expect(examples).to_have_count(3)
    expect(examples.first).to_contain_text("When does the museum open?")
    expect(examples.last).to_contain_text("A sentence that says what is wrong.")
    operation.get_by_role("tab", name="Schema").first.click()
    field = operation.get_by_text("Whether to create a session if none is continued.")
    expect(field).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    is_dark = background == "rgb(28, 32, 34)"
    assert is_dark == (scheme == "dark"), background
    assert problems == []
    [policy] = policies
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    context.close()


def check_operations(page: Page) -> None:
    expected = {
        f"{method.upper()} {path}"
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    }
    shown = page.locator(".opblock-summary")
    expect(shown).to_have_count(len(expected))
    listed = {
        "{} {}".format(
            row.locator(".opblock-summary-method").inner_text(),
            row.locator("[data-path]").get_attribute("data-path"),
        )
        for row in shown.all()
    }
    assert listed == expected
