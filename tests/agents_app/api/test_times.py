"""Times in requests that a database may not accept as they are."""

import base64
import uuid

import pytest
from django.contrib.auth.models import User

from tests.agents_app.api.conftest import ApiClient, key_for
from tests.agents_app.chats import make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("2026-01-01T00:00:00", 200),
        ("0071-05-20T20:29:59-18:43", 200),  # PostgreSQL accepts only offsets below 16 hours
        ("0001-01-01T00:00:00+05:00", 422),
        ("9999-12-31T23:00:00-05:00", 422),
    ],
)
def test_window_of_a_cleanup(moment: str, status: int) -> None:
    staff = ApiClient(key_for(make_user(is_staff=True, is_superuser=True)))
    response = staff("POST", "sessions/cleanup", {"created_after": moment})
    assert response.status_code == status, response.content


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+05:00"])
def test_cursor(api: ApiClient, user: User, moment: str) -> None:
    raw = base64.urlsafe_b64encode(f"{moment} {uuid.uuid4()}".encode()).decode().rstrip("=")
    assert api("GET", f"sessions?cursor={raw}").status_code == 422
