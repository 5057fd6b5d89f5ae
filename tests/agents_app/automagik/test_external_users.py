"""What an import keeps of its users, for the API to find them by."""

from pathlib import Path

import pytest

from agents_app.accounts.external_users import UserNotFound, find_user
from agents_app.models import ExternalUser
from tests.agents_app.automagik.databases import write_export
from tests.agents_app.automagik.helpers import run

pytestmark = pytest.mark.django_db


def test_users_are_found_by_what_automagik_called_them(tmp_path: Path) -> None:
    eva = {
        "id": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "email": "eva@example.org",
        "phone_number": " +5511990000001 ",
        "user_data": '{"locale": "pt-BR"}',
    }
    for _ in range(2):  # a second import changes nothing
        run(write_export(tmp_path, users=[eva, {"id": "7"}]))
    known = ("3fa85f64-5717-4562-b3fc-2c963f66afa6", "eva@example.org", "+5511990000001")
    found = {find_user(name) for name in known}
    assert len(found) == 1
    assert ExternalUser.objects.get(user__in=found).data == {"locale": "pt-BR"}
    with pytest.raises(UserNotFound):
        find_user("nobody@example.org")
