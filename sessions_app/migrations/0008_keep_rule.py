from django.db import migrations, models


class Migration(migrations.Migration):
    """The index of a cleanup's candidates leaves out what is marked keep."""

    dependencies = [
        ("sessions_app", "0007_reviews"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="session",
            name="sessions_auto_named",
        ),
        migrations.AddIndex(
            model_name="session",
            index=models.Index(
                condition=models.Q(("auto_named", True), ("keep", False), ("platform", "automagik")),
                fields=["id"],
                name="sessions_auto_named",
            ),
        ),
    ]
