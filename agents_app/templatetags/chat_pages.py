"""The template tags and filters of the chat pages.

The product's name, the theme, icons, times, the names of chats, the sidebar, and `joinlines`,
which leaves out white space.
"""

import re
from datetime import datetime
from typing import Any, cast

from django import template
from django.conf import settings
from django.template.base import NodeList, Parser, TextNode, Token
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents_app.chats import names
from agents_app.chats.feedback import REASON_LENGTH
from agents_app.chats.validation import NAME_LENGTH
from agents_app.web.chat_lists import read_sidebar
from agents_app.web.forms import SearchForm
from agents_app.web.theme import theme_of, theme_of_visitor
from sessions_app.models import Session
from sessions_app.templatetags.local_time import local

register = template.Library()


@register.simple_tag
def product_name() -> str:
    return str(settings.PRODUCT_NAME)


@register.simple_tag(takes_context=True)
def theme(context: dict[str, Any]) -> str:
    """The theme of the page; empty if it follows the system."""
    user = context.get("user")
    if user and user.is_authenticated:
        return theme_of(user)
    return theme_of_visitor(context["request"])


@register.simple_tag
def max_length(what: str) -> int:
    """The maximum length of a field that is written in a template."""
    return {"name": NAME_LENGTH, "reason": REASON_LENGTH}[what]


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite, with a label for screen readers."""
    drawing = format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>',
        static("agents_app/icons.svg"),
        name,
    )
    if not label:
        return drawing
    return format_html('{}<span class="visually-hidden">{}</span>', drawing, label)


class _Block(template.Node):
    """The content between two tags."""

    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: template.Context) -> SafeString:
        return self.nodelist.render(context)


@register.tag
def joinlines(parser: Parser, token: Token) -> _Block:
    """Leave out the line breaks of a template, and the indentation after them.

    Those in values and in included templates stay.
    """
    nodelist = parser.parse(["endjoinlines"])
    parser.delete_first_token()
    for node in nodelist.get_nodes_by_type(TextNode):
        text = cast("TextNode", node)
        text.s = re.sub(r"\n\s*", "", text.s)
    return _Block(nodelist)


@register.simple_tag
def moment(at: datetime, css_class: str = "") -> SafeString:
    """A point in time, to the minute, in the current time zone."""
    attribute = format_html(' class="{}"', css_class) if css_class else ""
    shown = local(at, "j M Y, H:i")
    return format_html('<time{} datetime="{}">{}</time>', attribute, local(at, "c"), shown)


@register.filter
def chat_name(chat_session: Session) -> str:
    """The name of a chat, as shown to people."""
    return names.display_name(chat_session)


@register.inclusion_tag("agents_app/sidebar.html", takes_context=True)
def sidebar(context: dict[str, Any]) -> dict[str, Any]:
    """The user's chats, next to the page."""
    request = context["request"]
    match = request.resolver_match
    return {
        "request": request,
        "user": request.user,
        "csrf_token": context.get("csrf_token"),
        "sidebar": read_sidebar(request.user),
        "current": match.kwargs.get("session_id") if match else None,
        "page": match.url_name if match else "",
        # The search page has another one, which needs other ids.
        "search": SearchForm(initial={"q": context.get("query")}, auto_id="sidebar-%s"),
    }
