"""The health probe, which uses an IP address and plain HTTP and follows no redirects."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.serving import serve
from tests.test_busy_database import UNREACHABLE
from tests.test_logs import Site

HOSTS = ["10.1.2.3:8000", "evil.example", "[fd00::1]", "under_score", ""]


@pytest.fixture
def production(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["chat.example.org"]


@pytest.mark.django_db
@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("host", HOSTS)
def test_the_probe_may_use_any_host(client: Client, host: str) -> None:
    response = client.get("/healthz", headers={"Host": host})
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}
    assert client.head("/healthz", headers={"Host": host}).status_code == 200
    assert client.post("/healthz", headers={"Host": host}).status_code == 405


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("path", ["/accounts/login/", "/healthz/", "/healthz/x", "/Healthz", "/"])
def test_other_paths_check_the_host(client: Client, path: str) -> None:
    assert client.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 400
    assert client.get(path, headers={"Host": "10.1.2.3"}, secure=True).status_code == 400


def test_the_real_server_in_production(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        serve(
            f"sqlite:///{tmp_path / 'db.sqlite3'}",
            stderr.fileno(),
            DEBUG="off",
            HTTPS="on",
            ALLOWED_HOSTS="chat.example.org",
        ) as server,
    ):
        site = Site(server.address, log)
        response, text = site.ask("/healthz", Host="10.1.2.3:8000")
        assert (response.status, text) == (200, '{"status": "ok"}')
        response, _ = site.ask("/accounts/login/", Host="chat.example.org")
        assert response.status == 301
        response, _ = site.ask("/accounts/login/", Host="10.1.2.3:8000")
        assert response.status == 400


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, serve(UNREACHABLE, stderr.fileno(), DEBUG="off") as server:
        response, text = Site(server.address, log).ask("/healthz")
    assert response.status == 503
    assert "unreachable" in text
