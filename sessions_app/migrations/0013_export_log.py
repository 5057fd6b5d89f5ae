import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_app', '0012_split_permissions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='transcriptreading',
            name='query',
            field=models.CharField(blank=True, db_default='', default=''),
        ),
        migrations.AlterField(
            model_name='transcriptreading',
            name='session_id',
            field=models.UUIDField(null=True),
        ),
        migrations.CreateModel(
            name='Export',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('username', models.CharField()),
                ('selection', models.CharField()),
                ('format', models.CharField()),
                ('with_transcripts', models.BooleanField()),
                ('exported', models.PositiveIntegerField(default=0, verbose_name='sessions')),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'exports',
                'default_permissions': (),
                'indexes': [models.Index(fields=['-started_at', '-id'], name='exports_newest')],
            },
        ),
    ]
