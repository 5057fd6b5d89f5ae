"""Checking a page with axe once its stylesheets have loaded."""

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe, AxeResults  # type: ignore[import-untyped]
from playwright.sync_api import Page

WIDE, MIDDLE, NARROW = (1440, 900), (768, 1024), (390, 844)
# Rules whose results can differ between themes at the same width.
COLOR_RULES = ("color-contrast", "link-in-text-block")
# Ordered so that only the width or the theme changes from one to the next.
SHAPES: list[tuple[tuple[int, int], str, Sequence[str]]] = [
    (WIDE, "light", ()),
    (WIDE, "dark", COLOR_RULES),
    (NARROW, "dark", ()),
    (NARROW, "light", COLOR_RULES),
]


# Colours change gradually with the theme.
_FINISH_TRANSITIONS = """
    document.getAnimations()
        .filter(animation => animation instanceof CSSTransition)
        .forEach(transition => transition.finish())
"""


def check_page(page: Page, what: str = "", rules: Sequence[str] = ()) -> None:
    """Assert that the page violates none of the rules (by default, all) nor scrolls sideways."""
    # Content opened by a click may be checked before it is styled.
    page.wait_for_load_state()
    page.evaluate(_FINISH_TRANSITIONS)
    results = _run_axe(page, rules)
    assert results.response["passes"], what
    assert results.violations_count == 0, f"{what}\n{results.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what


def check_shapes(page: Page, what: str) -> None:
    """Check the page in both themes, wide and narrow."""
    for (width, height), scheme, rules in SHAPES:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        check_page(page, f"{what} {scheme} {width}", rules)


def _run_axe(page: Page, rules: Sequence[str]) -> AxeResults:
    # No preloading: axe would insert imported stylesheets, which the content policy forbids.
    options: dict[str, Any] = {"preload": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    return AxeResults(page.evaluate("options => axe.run(document, options)", options))
