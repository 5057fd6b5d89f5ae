"""What the migrations make of the rows that are there."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)

NEW = ("read_transcripts", "restore_session")


def migrate_from(name: str) -> None:
    """Migrate again what came after that migration."""
    executor = MigrationExecutor(connection)
    leaves = executor.loader.graph.leaf_nodes()
    executor.migrate([("sessions_app", name)])
    MigrationExecutor(connection).migrate(leaves)


@pytest.mark.parametrize("exist", [True, False])
def test_who_read_transcripts_and_restored_sessions_still_may(exist: bool) -> None:
    holders = {}
    for codename in ("view_message", "delete_session", "view_session"):
        permission = Permission.objects.get(
            codename=codename, content_type__app_label="sessions_app"
        )
        user, group = User.objects.create_user(codename), Group.objects.create(name=codename)
        user.user_permissions.add(permission)
        group.permissions.add(permission)
        member = User.objects.create_user(f"member-{codename}")
        member.groups.add(group)
        holders[codename] = [user, member]
    if not exist:  # as in a database whose permissions have not been made yet
        Permission.objects.filter(codename__in=NEW).delete()

    migrate_from("0011_messages_by_time")

    expected = {
        "view_message": {"sessions_app.view_message", "sessions_app.read_transcripts"},
        "delete_session": {"sessions_app.delete_session", "sessions_app.restore_session"},
        "view_session": {"sessions_app.view_session"},
    }
    for codename, users in holders.items():
        for user in users:
            assert User.objects.get(pk=user.pk).get_all_permissions() == expected[codename]


def test_a_database_without_such_holders_stays_as_it_is() -> None:
    before = list(Permission.objects.order_by("pk").values())
    migrate_from("0011_messages_by_time")
    assert list(Permission.objects.order_by("pk").values()) == before
