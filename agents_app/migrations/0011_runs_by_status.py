from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents_app", "0010_latest_run_status"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="agentrun",
            index=models.Index(
                fields=["status", "-created_at", "-id"], name="agent_runs_by_status"
            ),
        ),
    ]
