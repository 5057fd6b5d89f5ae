from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents_app', '0015_request_digest'),
    ]

    operations = [
        migrations.AddField(
            model_name='agentrun',
            name='started_at',
            field=models.DateTimeField(null=True),
        ),
    ]
