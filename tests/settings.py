"""The project's settings with a database of the kind that TEST_DATABASE names.

TEST_DATABASE is `sqlite` (the default), `postgres` or `pgbouncer`. PostgreSQL is the server at
TEST_DATABASE_URL when that is set, and otherwise one that tests.postgres starts; with
`pgbouncer` it is always the latter, and all connections go through a PgBouncer.
"""

import os
import tempfile
from pathlib import Path

os.environ.update(
    DEBUG="off",
    HTTPS="off",
    SECRET_KEY="only-for-tests-" + "0123456789" * 5,
    ALLOWED_HOSTS="testserver,localhost,127.0.0.1",
    DATABASE_POOL="off",
)

if os.environ.get("TEST_DATABASE") == "postgres":
    from tests import postgres

    os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or postgres.start()
elif os.environ.get("TEST_DATABASE") == "pgbouncer":
    from tests import pooler, postgres

    os.environ["DATABASE_URL"] = pooler.start(postgres.Cluster())
else:
    # A file, since concurrent connections are part of what is tested.
    _folder = Path(tempfile.mkdtemp(prefix="chat-sessions-tests-"))
    os.environ["DATABASE_URL"] = f"sqlite:///{_folder / 'db.sqlite3'}"

from config.settings import *  # noqa: F403
from config.settings import DATABASES, STORAGES

if os.environ["DATABASE_URL"].startswith("sqlite"):
    DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Nothing is collected for tests; WhiteNoise must not look for the folder.
WHITENOISE_AUTOREFRESH = True
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
