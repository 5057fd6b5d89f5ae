"""The mark of users whom an import has made; those of earlier imports are marked as well."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


def mark_those_of_earlier_imports(apps, schema_editor):
    """An import made them without a password, and nobody has logged in with them since."""
    alias = schema_editor.connection.alias
    users = apps.get_model("auth", "User").objects.using(alias)
    unused = users.filter(
        Q(email="") | Q(username__startswith="automagik-"),
        password__startswith="!",
        last_login=None,
        is_staff=False,
        is_superuser=False,
    )
    imported_user = apps.get_model("agents_app", "ImportedUser")
    imported_user.objects.using(alias).bulk_create(
        (imported_user(pk=pk) for pk in unused.values_list("pk", flat=True)), batch_size=500
    )


class Migration(migrations.Migration):
    dependencies = [
        ("agents_app", "0004_newest_runs"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ImportedUser",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"db_table": "imported_users"},
        ),
        migrations.RunPython(mark_those_of_earlier_imports, migrations.RunPython.noop),
    ]
