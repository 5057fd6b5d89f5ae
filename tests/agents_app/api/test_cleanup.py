"""Cleanups by programs: the window has the command's options, and none is silently ignored."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.agents_app.api.conftest import ApiClient, key_for
from tests.agents_app.chats import make_user
from tests.factories import phantom

pytestmark = pytest.mark.django_db

CLEANUP = "sessions/cleanup"
AN_HOUR_AGO = (timezone.now() - timedelta(hours=1)).isoformat()


@pytest.fixture
def staff() -> ApiClient:
    return ApiClient(key_for(make_user(is_staff=True, is_superuser=True)))


@pytest.mark.parametrize(
    ("window", "removed_ages"),
    [
        ({}, [1, 10, 40]),
        ({"days": 30}, [1, 10]),
        ({"older_than": "5d"}, [10, 40]),
        ({"older_than": "2w"}, [40]),
        ({"days": 30, "older_than": "5d"}, [10]),
        ({"days": 30, "created_before": AN_HOUR_AGO}, [1, 10]),
        ({"older_than": "5d", "created_after": "2020-01-01"}, [10, 40]),
    ],
    ids=str,
)
def test_window(staff: ApiClient, window: dict[str, Any], removed_ages: list[int]) -> None:
    now = timezone.now()
    ages = {phantom(created_at=now - timedelta(days=days)).pk: days for days in (1, 10, 40)}
    dry_run = staff("POST", CLEANUP, window).json()
    assert (dry_run["matched"], dry_run["removed"]) == (len(removed_ages), 0)
    outcome = staff("POST", CLEANUP, {**window, "dry_run": False}).json()
    assert outcome["removed"] == len(removed_ages)
    removed = RemovedSession.objects.values_list("session_id", flat=True)
    assert sorted(ages[key] for key in removed) == removed_ages


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": "7"}, "days"),
        ({"days": 10**9}, "days"),
        ({"days": 7, "created_after": AN_HOUR_AGO}, "days"),
        ({"older_than": 7}, "older_than"),
        ({"older_than": "soon"}, "older_than"),
        ({"older_than": f"{10**9}w"}, "older_than"),
        ({"older_than": "7d", "created_before": AN_HOUR_AGO}, "older_than"),
        ({"days": 5, "older_than": "30d"}, "window"),
    ],
    ids=str,
)
def test_bad_window(staff: ApiClient, window: dict[str, Any], field: str) -> None:
    phantom(created_at=timezone.now() - timedelta(days=40))
    refused = staff("POST", CLEANUP, {**window, "dry_run": False})
    assert refused.status_code == 422
    assert field in refused.json()["detail"]
    assert Session.objects.exists()
    assert not CleanupRun.objects.exists()
