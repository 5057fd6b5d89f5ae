"""The agent that every installation has: `simple`, on the default model."""

from django.db import migrations


def make_simple_agent(apps, schema_editor):
    agents = apps.get_model("agents_app", "Agent").objects.using(schema_editor.connection.alias)
    agents.get_or_create(
        name="simple",
        defaults={
            "type": "simple",
            "model": "",
            "description": "A helpful assistant for everyday questions.",
            "system_prompt": "You are a helpful assistant.",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("agents_app", "0001_initial")]

    # Backwards nothing is removed: chats may refer to the agent.
    operations = [migrations.RunPython(make_simple_agent, migrations.RunPython.noop)]
