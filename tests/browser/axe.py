"""Checking a page as axe does, once its stylesheets are there."""

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

WIDE, MIDDLE, NARROW = (1440, 900), (768, 1024), (390, 844)
SHAPES = [(WIDE, "light"), (NARROW, "dark")]


def check_page(page: Page, what: str = "") -> None:
    """Assert that the page has no violation, and does not scroll sideways."""
    # What a click opened may be read before it is styled.
    page.wait_for_load_state()
    # Not preloaded: axe would insert what a stylesheet imports into the page, against its policy.
    results = Axe().run(page, options={"preload": False})
    assert results.response["passes"], what
    assert results.violations_count == 0, f"{what}\n{results.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what


def check_shapes(page: Page, what: str) -> None:
    """Check the page in either theme, wide in one and narrow in the other."""
    for (width, height), scheme in SHAPES:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        check_page(page, f"{what} {scheme} {width}")
