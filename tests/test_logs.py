"""The log of a real server process in production mode."""

import http.client
import json
import logging
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import PermissionDenied

from agents_app.accounts.api_keys import KEY_PREFIX
from config.log_formatters import JsonFormatter, LineFormatter, RequestFilter, request_id
from tests.serving import ROOT, serve

SESSION = {"Cookie": "sessionid=abcdefghijklmnop"}


class Site:
    """A server in production mode, on a database without tables, and its log."""

    def __init__(self, address: str, log: Path) -> None:
        self.host = urlsplit(address).netloc
        self.log = log

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            headers |= {"Content-Length": str(len(body or ""))}
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders((body or "").encode())
            response = connection.getresponse()
            return response, response.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    log = folder / "log"
    with (
        log.open("w") as stderr,
        serve(f"sqlite:///{folder / 'db.sqlite3'}", stderr.fileno(), DEBUG="off") as server,
    ):
        site = Site(server.address, log)
        site.ask("/healthz")  # it has started
        yield site


@pytest.fixture
def logged(site: Site) -> Callable[[], str]:
    before = site.log.stat().st_size

    def requests() -> str:
        lines = site.log.read_text()[before:].splitlines(keepends=True)
        # liveness logs the missing tables at any time.
        return "".join(line for line in lines if " agents_app.runs.liveness" not in line)

    return requests


def test_an_error_logs_a_traceback_with_the_id_on_the_page(
    site: Site, logged: Callable[[], str]
) -> None:
    response, page = site.ask("/chats/", **SESSION)

    assert response.status == 500
    id_ = response.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{16}", id_)
    assert f"<code>{id_}</code>" in page
    assert "no such table" not in page
    first, *rest = logged().splitlines()
    assert f" ERROR django.request [{id_}]: Internal Server Error: /chats/" in first
    assert "Traceback (most recent call last):" in rest[0]
    assert "no such table: django_session" in rest[-1]
    assert all(line.startswith("    ") for line in rest)


def test_a_script_gets_the_id_too(site: Site) -> None:
    response, text = site.ask("/chats/", Accept="application/json", **SESSION)
    assert response.status == 500
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-ID"] in text


def test_each_request_has_its_own_id_whatever_the_client_sends(site: Site) -> None:
    ids = {
        site.ask("/accounts/login/", X_Request_ID="mine")[0].headers["X-Request-ID"]
        for _ in range(3)
    }
    assert len(ids) == 3
    assert "mine" not in ids


@pytest.mark.parametrize(
    ("request_", "status", "line"),
    [
        ({"path": "/missing"}, 404, "WARNING django.request [{}]: Not Found: /missing"),
        (
            {"path": "/accounts/login/", "Host": "evil.example"},
            400,
            "ERROR django.security.DisallowedHost [{}]: Invalid HTTP_HOST header: 'evil.example'.",
        ),
        (
            {"path": "/accounts/login/", "method": "POST", "body": "username=ana"},
            403,
            "WARNING django.security.csrf [{}]: Forbidden (CSRF cookie not set.): /accounts/login/",
        ),
    ],
    ids=["missing", "host", "csrf"],
)
def test_a_refused_request_is_logged_in_one_line(
    site: Site, logged: Callable[[], str], request_: dict[str, str], status: int, line: str
) -> None:
    response, page = site.ask(**request_)
    assert response.status == status
    id_ = response.headers["X-Request-ID"]
    assert f"<code>{id_}</code>" in page
    assert "/static/agents_app/chat.css" in page, "styled like the other pages"
    [logged_line] = logged().splitlines()
    assert line.format(id_) in logged_line


def test_a_line_break_in_a_path_is_escaped(site: Site, logged: Callable[[], str]) -> None:
    site.ask("/x%0D%0A2026-01-01%20ERROR%20forged%1B[2J%E2%80%AE")
    [logged_line] = logged().splitlines()
    assert logged_line.endswith("Not Found: /x\\r\\n2026-01-01 ERROR forged\\x1b[2J\\u202e")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/accounts/login/", "text/plain; charset*=foo''%41"),
        ("/accounts/login/", "multipart/form-data; boundary*=foo''%41"),
        (f"/accounts/login/?{'a=&' * 1100}", "text/plain; charset=utf-8"),
        ("/accounts/login/?q=%ff", "text/plain; charset=hex"),
        ("/accounts/login/?q=%ff", "text/plain; charset=idna"),
    ],
)
def test_undecodable_headers_are_refused(
    site: Site, logged: Callable[[], str], path: str, content_type: str
) -> None:
    for method in ("GET", "POST"):
        response, _ = site.ask(path, method, Content_Type=content_type)
        assert response.status == 400
    assert "Traceback" not in logged()


@pytest.fixture
def line() -> Callable[..., str]:
    """One record as the handlers write it."""
    request_id.set("")
    formatter = LineFormatter("{levelname}{in_request}: {message}", style="{")

    def written(message: str, *arguments: object, exc_info: Any = None) -> str:
        record = logging.LogRecord(
            "agents_app", logging.WARNING, __file__, 1, message, arguments, exc_info
        )
        RequestFilter().filter(record)
        return formatter.format(record)

    return written


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain – “quoted” 漢字", "plain – “quoted” 漢字"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b]0;title\x07\x9b2J\x7f", "\\x1b]0;title\\x07\\x9b2J\\x7f"),
        ("\u202eevil\u2028\u2066", "\\u202eevil\\u2028\\u2066"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_control_characters_in_names_are_escaped(
    line: Callable[..., str], name: str, shown: str
) -> None:
    assert line("Agent %s failed", name) == f"WARNING: Agent {shown} failed"


def test_tracebacks_are_indented_and_escaped(line: Callable[..., str]) -> None:
    try:
        raise ValueError("first\nERROR forged\x1b[2J\rover")
    except ValueError:
        text = line("Failed", exc_info=sys.exc_info())
    first, *rest = text.split("\n")
    assert first == "WARNING: Failed"
    assert len(rest) >= 4
    assert all(row.startswith("    ") for row in rest)
    assert rest[-1] == "    ERROR forged\\x1b[2J\\rover"


def test_every_handler_escapes() -> None:
    """Records of libraries and of the server go through this formatter too."""
    names = ["", "django", "django.request", "django.security", "django.server"]
    for name in [
        *names,
        "sessions_app",
        "agents_app",
        "uvicorn.access",
        "uvicorn",
        "uvicorn.error",
        "pydantic_ai",
    ]:
        logger: logging.Logger | None = logging.getLogger(name)
        handlers: list[logging.Handler] = []
        while logger:
            handlers += logger.handlers
            logger = logger.parent if logger.propagate else None
        ours = [handler for handler in handlers if isinstance(handler.formatter, LineFormatter)]
        foreign = [
            handler
            for handler in handlers
            if handler not in ours and type(handler).__module__.startswith(("logging", "django"))
        ]
        assert len(ours) == 1, name
        assert not foreign, name


def test_records_carry_the_id_of_the_request(line: Callable[..., str]) -> None:
    request_id.set("0123456789abcdef")
    assert line("Late") == "WARNING [0123456789abcdef]: Late"


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """One event, as LOG_FORMAT=json writes it; it must be one line of plain ASCII."""
    request_id.set("")

    def written(message: str, *arguments: object, exc_info: Any = None) -> dict[str, Any]:
        record = logging.LogRecord(
            "agents_app", logging.WARNING, __file__, 1, message, arguments, exc_info
        )
        RequestFilter().filter(record)
        text = JsonFormatter().format(record)
        assert text.isascii()
        assert text.isprintable()
        read: dict[str, Any] = json.loads(text)
        return read

    return written


def test_json_has_the_event(event: Callable[..., dict[str, Any]]) -> None:
    request_id.set("0123456789abcdef")
    written = event("Agent %s failed", "Ana")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", written.pop("time"))
    assert written == {
        "level": "WARNING",
        "logger": "agents_app",
        "message": "Agent Ana failed",
        "request": "0123456789abcdef",
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain – “quoted” 漢字", "plain – “quoted” 漢字"),
        ('a\r\n{"level": "ERROR"}', 'a\r\n{"level": "ERROR"}'),
        ("\x1b]0;title\x07\x9b2J\x7f", "\x1b]0;title\x07\x9b2J\x7f"),
        ("\u202eevil\u2028\u2066", "\u202eevil\u2028\u2066"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_json_stays_on_one_line_and_reads_back(
    event: Callable[..., dict[str, Any]], name: str, shown: str
) -> None:
    assert event("%s", name)["message"] == shown


def test_json_has_the_exception(event: Callable[..., dict[str, Any]]) -> None:
    try:
        raise ValueError("first\nsecond\x1b[2J")
    except ValueError:
        exception = event("Failed", exc_info=sys.exc_info())["exception"]
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("ValueError: first\nsecond\x1b[2J")


def test_json_has_no_traceback_of_a_refused_request(event: Callable[..., dict[str, Any]]) -> None:
    try:
        raise PermissionDenied
    except PermissionDenied:
        assert "exception" not in event("Forbidden", exc_info=sys.exc_info())


def test_the_real_server_logs_json(tmp_path: Path) -> None:
    log = tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    with (
        log.open("w") as stderr,
        serve(url, stderr.fileno(), DEBUG="off", LOG_FORMAT="json") as server,
    ):
        site = Site(server.address, log)
        missing, _ = site.ask("/missing")
        failed, _ = site.ask("/chats/", **SESSION)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    by_request = {event.get("request"): event for event in events}
    assert by_request[missing.headers["X-Request-ID"]]["message"] == "Not Found: /missing"
    assert "no such table" in by_request[failed.headers["X-Request-ID"]]["exception"]


def test_api_keys_are_masked(
    line: Callable[..., str], event: Callable[..., dict[str, Any]], api_key: str
) -> None:
    try:
        raise ValueError(f"no {api_key}")
    except ValueError:
        exc_info = sys.exc_info()
    arguments = (f"{api_key}.", {"sent": f"\n{api_key}"})
    message = "GET /?key=cs_***&x=1 cs_***. {'sent': '\\ncs_***'}"
    text = line(f"GET /?key={api_key}&x=1 %s %s", *arguments, exc_info=exc_info)
    assert text.startswith(f"WARNING: {message}\n")
    assert text.endswith("ValueError: no cs_***")
    written = event(f"GET /?key={api_key}&x=1 %s %s", *arguments, exc_info=exc_info)
    assert written["message"] == message
    assert written["exception"].endswith("ValueError: no cs_***")


WRONG_CALLS = """
import logging, sys, django
django.setup()
key = sys.argv[1]
class Unprintable:
    def __str__(self): raise ValueError(key)
    __repr__ = __str__
logger = logging.getLogger("agents_app")
logger.info("Sent %s %s", key)
logger.info("Sent %d", key)
logger.info("Sent " + key + " %s", Unprintable())
logger.info(Unprintable())
"""


@pytest.mark.parametrize("log_format", ["line", "json"])
def test_wrong_calls_log_no_api_keys(api_key: str, log_format: str) -> None:
    """Of such calls, logging itself would print the arguments."""
    ran = subprocess.run(
        [sys.executable, "-c", WRONG_CALLS, api_key],
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "on", "LOG_FORMAT": log_format},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second, third, fourth = ran.stderr.splitlines()
    assert "'Sent %s %s' % ('cs_***',) in " in first
    assert "cannot be formatted: TypeError" in first
    assert "'Sent %d' % ('cs_***',) in " in second
    assert "'Sent cs_*** %s' % (ValueError in repr) in " in third
    assert "cannot be formatted: ValueError" in fourth
    assert api_key[:11] not in ran.stderr


@pytest.mark.parametrize("debug", ["on", "off"])
@pytest.mark.parametrize("log_format", ["line", "json"])
def test_the_real_server_logs_no_api_keys(
    tmp_path: Path, api_key: str, log_format: str, debug: str
) -> None:
    """At uvicorn's own level, at which it logs every request."""
    log = tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    settings = {"DEBUG": debug, "LOG_FORMAT": log_format, "UVICORN_LOG_LEVEL": "info"}
    with log.open("w") as stderr, serve(url, stderr.fileno(), **settings) as server:
        site = Site(server.address, log)
        site.ask(f"/api/v1/agents?api_key={api_key}")
        site.ask(f"/api/v1/agents/{api_key}")
        site.ask("/api/v1/agents", Authorization=api_key)
        site.ask("/api/v1/agents", X_API_Key=api_key)
    logged = log.read_text()
    assert "/api/v1/agents?api_key=cs_*** HTTP/1.1" in logged
    assert "Not Found: /api/v1/agents/cs_***" in logged
    assert "Unexpected auth" not in logged  # as django-ninja would write with DEBUG
    assert api_key[:11] not in logged


@pytest.fixture
def api_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)
