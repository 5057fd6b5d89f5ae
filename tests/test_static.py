"""Static files: hashed names once they are collected; else one line that says what to do."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client

from config.static import StaticFilesMiddleware

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.WHITENOISE_AUTOREFRESH = False
    settings.STATIC_ROOT = tmp_path / "staticfiles"
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "config.static.HashedStorage"}
    }
    return tmp_path / "staticfiles"


def start() -> None:
    StaticFilesMiddleware(lambda request: HttpResponse())


@pytest.mark.usefixtures("folder")
def test_missing_static_files_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    start()  # a Python warning would be an error
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "manage.py collectstatic" in record.getMessage()


def test_collected_static_files_log_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    start()
    assert not caplog.records


FOR_EVER = "max-age=315360000, public, immutable"
HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")


@pytest.mark.usefixtures("folder")
def test_pages_are_there_without_collected_static_files(client: Client) -> None:
    page = client.get("/accounts/login/")
    assert page.status_code == 200
    assert 'href="/static/agents_app/base.css"' in page.content.decode()


@pytest.mark.usefixtures("folder")
def test_collected_files_are_kept_by_browsers_for_ever(admin_client: Client) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    page = admin_client.get("/chats/").content.decode()
    found = re.findall(r'"(/static/[^"#]+)', page)
    assert len(found) > 15
    urls = set(found)
    for url in found:  # grows with the modules that a module imports
        response = admin_client.get(url)
        assert (response.status_code, response["Cache-Control"]) == (200, FOR_EVER), url
        assert HASHED.search(url), url
        if url.endswith(".js"):
            imported = re.findall(r'from "\./(.+)";', response.content.decode())
            found += {f"/static/agents_app/{name}" for name in imported} - urls
            urls.update(found)
    assert len([url for url in urls if url.endswith(".js")]) > 15


def test_the_sprite_has_the_icons_that_templates_use_and_no_others() -> None:
    sprite = (ROOT / "agents_app/static/agents_app/icons.svg").read_text()
    templates = "".join(
        path.read_text()
        for app in ("agents_app", "sessions_app")
        for path in (ROOT / app / "templates").rglob("*.html")
    )
    used = re.findall(r'{% icon "([a-z0-9-]+)"', templates)
    assert len(used) == templates.count("{% icon"), "an icon is named where it is used"
    assert set(re.findall(r'<symbol id="([^"]+)"', sprite)) == set(used)
