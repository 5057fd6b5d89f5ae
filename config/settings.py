"""Django settings, from the environment; the README has the table of variables.

A bad value stops the process with one line (see config.env).
"""

from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.env import StrictEnv

BASE_DIR = Path(__file__).resolve().parent.parent

env = StrictEnv()
StrictEnv.read_env(BASE_DIR / ".env")  # a file's values never override the environment's

DEBUG = env.flag("DEBUG", default=False)
if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", default="") or "insecure-and-only-for-development"
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
else:
    SECRET_KEY = env.secret("SECRET_KEY")
    ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# A message may have a million characters, each up to twelve bytes long in a form.
DATA_UPLOAD_MAX_MEMORY_SIZE = 13_000_000

# How long removed sessions can be put back. 0 keeps no archive: nothing can be undone.
CLEANUP_ARCHIVE_DAYS = env.number("CLEANUP_ARCHIVE_DAYS", default=30)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "sessions_app",
    "agents_app",
]

MIDDLEWARE = [
    "config.middleware.RequestIdMiddleware",
    "config.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.ReadableRequestMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.DatabaseErrorMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ------------------------------------------------------------------

_database = env.database("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = {
        # A transaction that starts by reading and then writes fails at once when
        # another one has written meanwhile; IMMEDIATE makes it wait its turn instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif env.flag("DATABASE_POOL", default=False):
    # The web server turns this on (config/asgi.py); a command needs one connection.
    _database["OPTIONS"] = {**_database.get("OPTIONS", {}), "pool": True}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People --------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

# --- Static files --------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# --- Security ------------------------------------------------------------------

HTTPS = env.flag("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if env.flag("TRUST_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and preloading bind a whole domain; that decision belongs
    # to whoever runs the domain, in the proxy, not to one application on it.
    "security.W005",
    "security.W021",
]
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],  # the admin's icons
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# --- Agents --------------------------------------------------------------------

# The model of agents that name none: `local`, a pydantic-ai model string such as
# openai:gpt-4.1-mini, or, with AGENT_BASE_URL, the name of a model of that server.
AGENT_MODEL = env.str("AGENT_MODEL", default="").strip()
# A server that speaks OpenAI's protocol (Ollama, vLLM, llama.cpp), for every openai: model.
AGENT_BASE_URL = env.http_url("AGENT_BASE_URL", default="")
AGENT_API_KEY = env.token("AGENT_API_KEY")
AGENT_TIME_LIMIT = env.number("AGENT_TIME_LIMIT", default=120, minimum=1)  # seconds per run
AGENT_TOKEN_LIMIT = env.number("AGENT_TOKEN_LIMIT", default=1024, minimum=1)  # output, per run
# A process that gives no sign of life for so many seconds is presumed dead, and its answers
# are marked as interrupted.
AGENT_HEARTBEAT_TIMEOUT = env.number("AGENT_HEARTBEAT_TIMEOUT", default=15, minimum=5)
# What a model is told and answers must fit into this many tokens.
AGENT_CONTEXT_TOKENS = env.number("AGENT_CONTEXT_TOKENS", default=8192, minimum=512)
if AGENT_TOKEN_LIMIT >= AGENT_CONTEXT_TOKENS:
    raise ImproperlyConfigured(
        f"AGENT_TOKEN_LIMIT={AGENT_TOKEN_LIMIT} leaves no room for messages: "
        f"AGENT_CONTEXT_TOKENS is {AGENT_CONTEXT_TOKENS}."
    )

# --- Logging -------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "config.logs.RequestFilter"}},
    "formatters": {
        "line": {
            "()": "config.logs.LineFormatter",
            "format": "{asctime} {levelname} {name}{in_request}: {message}",
            "style": "{",
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["request"],
            "formatter": "line",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "sessions_app": {"level": "INFO"},
        "agents_app": {"level": "INFO"},
        # Naming them takes away the handlers that Django and uvicorn gave them: Django's mail
        # errors to ADMINS and are silent otherwise, uvicorn's do not escape what they print.
        "django": {"level": "WARNING"},
        # Those of uvicorn keep the levels of its command line.
        **{name: {"propagate": True} for name in ("uvicorn", "uvicorn.error", "uvicorn.access")},
    },
}
