"""Who could read transcripts, or restore what a cleanup removed, still can.

Both needed another permission before: to view messages, and to delete sessions.
"""

from django.conf import settings
from django.db import migrations

NAMES = {
    'read_transcripts': 'Can read what was said in chat sessions',
    'restore_session': 'Can restore removed chat sessions',
}
GIVEN_TO_HOLDERS_OF = {
    'read_transcripts': ('message', 'view_message'),
    'restore_session': ('session', 'delete_session'),
}


def split_permissions(apps, schema_editor):
    permissions = apps.get_model('auth', 'Permission').objects
    content_types = apps.get_model('contenttypes', 'ContentType').objects
    for codename, (model, held) in GIVEN_TO_HOLDERS_OF.items():
        # None exists in a new database: permissions are made after all migrations.
        old = permissions.filter(
            codename=held, content_type__app_label='sessions_app', content_type__model=model
        ).first()
        if old is None or not (old.user_set.exists() or old.group_set.exists()):
            continue
        session_type, _ = content_types.get_or_create(app_label='sessions_app', model='session')
        new, _ = permissions.get_or_create(
            codename=codename, content_type=session_type, defaults={'name': NAMES[codename]}
        )
        new.user_set.add(*old.user_set.values_list('pk', flat=True))
        new.group_set.add(*old.group_set.values_list('pk', flat=True))


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0011_messages_by_time'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunPython(split_permissions, migrations.RunPython.noop, elidable=True)]
