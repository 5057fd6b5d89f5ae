"""The HTML that rendered text may consist of: a short list of elements and attributes."""

import re
from functools import cache
from typing import TYPE_CHECKING

from django.utils.safestring import SafeString, mark_safe

from agents_app.web.rendering.code_blocks import HIGHLIGHT_CLASSES
from agents_app.web.rendering.formulas import MATHML_ATTRIBUTES, MATHML_TAGS, MATHML_VALUE

if TYPE_CHECKING:
    import nh3

_TAGS = {"a", "blockquote", "br", "button", "code", "div", "em", "hr", "p", "pre", "s", "span"}
_TAGS |= {"h3", "h4", "h5", "h6", "input", "label", "li", "ol", "strong", "sup", "ul"}
_TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
# The content security policy allows no style attributes. Tables, code and formulas can be wider
# than the page and need focus to be scrolled by keyboard.
_REGION = {"class", "role", "tabindex", "aria-label"}
_ATTRIBUTES = {
    **{tag: {"dir"} for tag in ("p", "blockquote", "ul", "h3", "h4", "h5", "h6")},
    **{tag: set(MATHML_ATTRIBUTES) for tag in MATHML_TAGS},
    "a": {"href", "title", "target", "id", "class", "aria-label"},
    "button": {"class", "aria-label"},
    "code": {"class"},
    "div": _REGION,
    "input": {"checked"},
    "li": {"class", "id"},
    "ol": {"dir", "start"},
    "span": _REGION,
    "td": {"class", "dir"},
    "th": {"class", "dir"},
}
_CLASSES = {
    "a": "back|bare",
    "button": "copy",
    "code": r"language-[\w+#.-]{1,40}|formula-source",
    "div": "code|code-head|footnotes|table",
    "li": "task",
    "span": "|".join({"formula", *HIGHLIGHT_CLASSES}),
    "td": "left|center|right",
    "th": "left|center|right",
}
_VALUES = {
    "id": re.compile(r"fn(?:ref)?-[\w-]+"),
    "role": re.compile("region|group"),
    "target": re.compile("_blank"),
}


def sanitised(html: str) -> SafeString:
    """Remove from HTML what is not on the list of allowed elements and attributes."""
    return mark_safe(_cleaner().clean(html))  # noqa: S308 - it has just been sanitised


@cache
def _cleaner() -> "nh3.Cleaner":
    import nh3

    # Kept, because making one takes five times as long as cleaning a paragraph.
    return nh3.Cleaner(
        tags=_TAGS | MATHML_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed_value,
        set_tag_attribute_values={
            "button": {"type": "button"},
            "input": {"type": "checkbox", "disabled": ""},
            "pre": {"tabindex": "0"},
        },
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
    )


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    if tag in MATHML_TAGS:
        allowed = MATHML_VALUE.fullmatch(value)
    elif attribute == "class":
        allowed = re.fullmatch(_CLASSES[tag], value)
    elif attribute in _VALUES:
        allowed = _VALUES[attribute].fullmatch(value)
    else:
        return value
    return value if allowed else None
