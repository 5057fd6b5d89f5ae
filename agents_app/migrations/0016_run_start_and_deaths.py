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
        migrations.AddField(
            model_name='agentrun',
            name='deaths',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
    ]
