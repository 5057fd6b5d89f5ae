"""The project's settings, with a database that times out quickly."""

from config.settings import *  # noqa: F403
from config.settings import DATABASES

_database = DATABASES["default"]
_options = _database.setdefault("OPTIONS", {})
if _database["ENGINE"].endswith("sqlite3"):
    _options["timeout"] = 0.1
else:
    _options["options"] = "-c lock_timeout=100ms"
