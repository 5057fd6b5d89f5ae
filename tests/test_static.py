"""The start without collected static files: one line that says what to do, and no warning."""

import logging
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse

from config.static import StaticFilesMiddleware


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.WHITENOISE_AUTOREFRESH = False
    settings.STATIC_ROOT = tmp_path / "staticfiles"
    return tmp_path / "staticfiles"


def start() -> None:
    StaticFilesMiddleware(lambda request: HttpResponse())


@pytest.mark.usefixtures("folder")
def test_missing_static_files_are_said(caplog: pytest.LogCaptureFixture) -> None:
    start()  # where a Python warning would be an error
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "manage.py collectstatic" in record.getMessage()


def test_collected_static_files_need_no_words(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    start()
    assert not caplog.records
