"""Other users, visitors and hostile text."""

import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from agents_app.models import Agent, AgentRun
from agents_app.web.rendering.markdown import markdown
from sessions_app.models import Session
from tests.agents_app.chats import answered, failed, make_agent, make_user
from tests.agents_app.web.helpers import (
    JSON,
    chat_url,
    html,
    message,
    rows,
    run_url,
)

pytestmark = pytest.mark.django_db(transaction=True)

XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea><svg onload=alert(1)>",
    "[click](javascript:alert(1))",
    "{{ 7|add:7 }}{% debug %}",
    r"$\text{<script>alert(1)</script>}$ \(\text{&lt;script&gt;alert(1)&lt;/script&gt;}\)",
    r"$$\href{javascript:alert(1)}{x} \style{position:fixed}{y} \class{copy}{z}$$",
    r"\[\hspace{-9999em}\text{</math><img src=x onerror=alert(1)>}\color{white}{x}\]",
    r"\[\unknown{</code><svg onload=alert(1)>}\]",
    '```"><script>alert(1)</script>\n<img src=x onerror=alert(1)>\n```',
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '[^"><img/src=x/onerror=alert(1)>]\n\n[^"><img/src=x/onerror=alert(1)>]: <svg onload=alert(1)>',
    '[^1]: [x](javascript:alert(1)) <https://e.org/" onclick=alert(1)>',
    '- [x] <input type="text" name="text" onfocus=alert(1) autofocus>',
    'javascript://e.org/%0aalert(1) data:text/html,<b> https://e.org/"onmouseover="alert(1)',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mtext></math>",
]


def every_url(run: AgentRun) -> list[tuple[str, str]]:
    chat_session = run.session
    return [
        ("get", chat_url(chat_session)),
        ("get", chat_url(chat_session) + "?before=2&fragment=on"),
        ("get", chat_url(chat_session) + "?at=1"),
        ("get", chat_url(chat_session) + "?all=on"),
        ("get", chat_url(chat_session, "chat-export") + "?format=md"),
        ("get", chat_url(chat_session, "chat-export") + "?format=json"),
        ("get", chat_url(chat_session, "chat-delete")),
        ("get", run_url(run, "chat-events")),
        ("post", chat_url(chat_session, "chat-send")),
        ("post", chat_url(chat_session, "chat-rename")),
        ("post", chat_url(chat_session, "chat-delete")),
        ("post", run_url(run, "chat-stop")),
        ("post", run_url(run, "chat-retry")),
        ("post", chat_url(chat_session, "chat-feedback", message_id=run.message_id)),
    ]


@pytest.mark.parametrize("headers", [{}, JSON], ids=["browser", "script"])
def test_strangers_get_404(client: Client, user: User, headers: dict[str, str]) -> None:
    run = failed(user, "Top secret")
    before = rows()
    client.force_login(make_user("eve", is_staff=True, is_superuser=True))
    for method, url in every_url(run):
        for data in ({}, message() | {"name": "Mine now"}) if method == "post" else ({},):
            response = getattr(client, method)(url, data, headers=headers)
            assert response.status_code == 404, url
            assert b"secret" not in response.content
    assert rows() == before
    assert "Top secret" not in html(client.get("/chats/?q=secret"))


def test_run_of_another_chat_is_404(page: Client, user: User) -> None:
    run, other = failed(user), answered(user)
    for name in ("chat-stop", "chat-retry"):
        assert page.post(chat_url(other, name, run_id=run.pk)).status_code == 404
    assert page.get(chat_url(other, "chat-events", run_id=run.pk)).status_code == 404


def test_visitors_are_sent_to_the_login(client: Client, user: User, agent: Agent) -> None:
    run = failed(user)
    before = rows()
    for method, url in [("get", "/chats/"), ("post", "/chats/"), *every_url(run)]:
        response: HttpResponse = getattr(client, method)(url)
        assert response.status_code == (302 if method == "get" else 303), url
        assert response["Location"].startswith("/accounts/login/")
    assert rows() == before


def test_login_and_logout(client: Client, user: User) -> None:
    assert "Log in" in html(client.get("/accounts/login/?next=/chats/"))
    login = {"username": "ana", "password": "wrong", "next": "/chats/"}
    assert "correct username and password" in html(client.post("/accounts/login/", login))
    login["password"] = "secret-enough-1"
    assert client.post("/accounts/login/", login)["Location"] == "/chats/"
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"


def all_pages(client: Client, user: User) -> list[str]:
    run = failed(user, "Failed")
    urls = [
        "/chats/",
        "/chats/?q=nothing",
        chat_url(Session.objects.filter(user=user).order_by("created_at")[0]),
        chat_url(run.session),
        chat_url(run.session, "chat-delete"),
        "/accounts/login/",
        "/chats/00000000-0000-0000-0000-000000000000/",
    ]
    return [html(client.get(url)) for url in urls]


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_harmless(page: str) -> None:
    """It has no scripts, styles or embedded resources but the product's own."""
    for tag, attributes in Elements(page).found:
        assert tag not in {"style", "img", "iframe", "object", "base"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "svg":
            assert attributes.keys() <= {"class", "aria-hidden", "viewbox"}
        if tag in {"script", "link", "use"}:
            assert (attributes.get("src") or attributes.get("href") or "").startswith("/static/")
        for name in {"href", "action", "formaction"} & set(attributes):
            assert re.match(r"/|#|\?|https?://", attributes[name] or ""), attributes[name]


def test_hostile_text_is_shown_and_not_run(page: Client, user: User) -> None:
    hostile = "\n\n".join(XSS)
    chat_session = answered(user, hostile, hostile)
    Session.objects.filter(pk=chat_session.pk).update(name=hostile)
    make_agent("simple", description=hostile)
    chat_html = html(page.get(chat_url(chat_session)))
    assert chat_html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert chat_html.count("{{ 7|add:7 }}") >= 4
    for shown in [*all_pages(page, user), html(page.get("/chats/", {"q": XSS[1]}))]:
        check_harmless(shown)


@pytest.mark.parametrize("hostile", XSS)
def test_words_found_in_hostile_text_are_marked_in_harmless_elements(
    page: Client, user: User, hostile: str
) -> None:
    chat_session = answered(user, hostile, hostile)
    for query in (hostile, "script", "alert 1", "href", "class", "x"):
        for position in (1, 2):
            at = {"at": position, "q": query}
            shown = html(page.get(chat_url(chat_session), at))
            check_harmless(shown)
            assert shown.count("<mark") == shown.count("</mark>")
            del at["q"]
            without = html(page.get(chat_url(chat_session), at))
            elements = [one for one in Elements(shown).found if one[0] != "mark"]
            assert [tag for tag, _ in elements] == [tag for tag, _ in Elements(without).found]


def test_pages_have_no_inline_script_or_style(page: Client, user: User) -> None:
    answered(user, answer="| a |\n|--:|\n| 1 |\n\n<p style='color:red'>x</p>")
    for shown in all_pages(page, user):
        check_harmless(shown)


def test_endless_markdown_is_shown_as_it_is(page: Client, user: User) -> None:
    shown = html(page.get(chat_url(answered(user, answer="**a** <b>\n\n" * 10_000))))
    assert "**a** &lt;b&gt;\n\n**a**" in shown
    check_harmless(shown)


def test_markdown(page: Client, user: User) -> None:
    answer = (
        '# Big\n\n### Small\n\n```python\nx = "<y>"\n```\n\n[a](https://example.org) ![b](/c.png)'
    )
    shown = html(page.get(chat_url(answered(user, "**mine**\n<br>", answer))))
    assert "**mine**\n&lt;br&gt;" in shown
    assert '<h3 dir="auto">Big</h3>' in shown
    assert '<h4 dir="auto">Small</h4>' in shown
    assert '<code class="language-python">x = <span class="string">"&lt;y&gt;"' in shown
    link = '<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>'
    assert link.format("https://example.org", "a") in shown
    assert link.format("/c.png", "b") in shown


@pytest.mark.parametrize("hostile", XSS)
def test_hostile_markdown_makes_harmless_elements_only(hostile: str) -> None:
    for text in (hostile, f"a[^1]\n\n[^1]: {hostile}", f"- [ ] {hostile}", f"|{hostile}|\n|-|"):
        page = markdown(text, id_prefix="6-")
        check_harmless(page)
        for tag, attributes in Elements(page).found:
            assert tag not in {"form", "textarea", "script", "annotation-xml", "maction", "mglyph"}
            if tag == "input":
                assert attributes == {"type": "checkbox", "disabled": ""} | (
                    {"checked": ""} if "checked" in attributes else {}
                )
            if tag == "button":
                assert (attributes["type"], attributes["class"]) == ("button", "copy")
            else:
                assert attributes.get("class") != "copy"
            assert (attributes.get("id") or "fn-6-").startswith(("fn-6-", "fnref-6-"))
            assert not {"style", "mathcolor", "name", "formaction"} & set(attributes)
            assert "9999" not in (attributes.get("width") or "")
            if tag not in {"a"}:
                assert "href" not in attributes
