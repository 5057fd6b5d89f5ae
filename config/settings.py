"""Django settings, from the environment; the README lists the variables.

A bad value stops the process with a one-line error (see config.env).
"""

from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.env import StrictEnv, mail_settings

BASE_DIR = Path(__file__).resolve().parent.parent

env = StrictEnv()
StrictEnv.read_env(BASE_DIR / ".env")  # never overrides the environment

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

# For how long removed sessions can be restored. 0 keeps no archive.
CLEANUP_ARCHIVE_DAYS = env.number("CLEANUP_ARCHIVE_DAYS", default=30)

# For how long users can restore the chats that they deleted.
TRASH_DAYS = env.number("TRASH_DAYS", default=30)

# When workers start cleanups (PostgreSQL only), and how old the sessions have to be.
CLEANUP_SCHEDULE = env.cron("CLEANUP_SCHEDULE")
CLEANUP_OLDER_THAN = env.age("CLEANUP_OLDER_THAN")

# The product's name, on all pages.
PRODUCT_NAME = "Parley"

INSTALLED_APPS = [
    "sessions_app",  # before the admin, whose base template it extends
    "config.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "ninja",  # the pages of the API's documentation
    "agents_app",  # before allauth, whose templates it replaces
    "allauth",
    "allauth.account",
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
    "allauth.account.middleware.AccountMiddleware",
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
        # Without IMMEDIATE, a transaction that reads before it writes fails at once when
        # another one has written in between; with it, it waits until that one has ended.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Behind PgBouncer in transaction mode, a statement outside a transaction cannot rely on a
    # cursor that an earlier one has opened. Django prepares no statements by default.
    _database["DISABLE_SERVER_SIDE_CURSORS"] = True
    if env.flag("DATABASE_POOL", default=False):
        # The web server turns this on (config/asgi.py); commands need only one connection.
        _database["OPTIONS"] = {**_database.get("OPTIONS", {}), "pool": True}
DATABASES = {"default": _database}
IS_POSTGRESQL = _database["ENGINE"] == "django.db.backends.postgresql"
# PostgreSQL itself, for LISTEN and for migrations, where DATABASE_URL points to a pooler.
DATABASE_DIRECT_URL = env.direct_url("DATABASE_DIRECT_URL")
if CLEANUP_SCHEDULE and not IS_POSTGRESQL:
    raise ImproperlyConfigured("CLEANUP_SCHEDULE needs PostgreSQL; use cron with SQLite.")
if IS_POSTGRESQL:
    INSTALLED_APPS.insert(INSTALLED_APPS.index("sessions_app"), "procrastinate.contrib.django")
PROCRASTINATE_ON_APP_READY = "agents_app.runs.queue.configure"
PROCRASTINATE_WORKER_DEFAULTS = {
    "concurrency": 20,
    "fetch_job_polling_interval": 0.5,  # for when a notification is lost
    "shutdown_graceful_timeout": 10,
    "update_heartbeat_interval": 2,
    # After this time without a heartbeat, other workers delete a worker's row when they start. A
    # worker without a row can do nothing more, and it may only have lost its connection.
    "stalled_worker_timeout": 3600,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache ---------------------------------------------------------------------

# It counts attempts to log in for rate limits, so all processes have to share it. The migrations
# create the table of the default.
CACHES = {"default": env.cache("CACHE_URL", default="dbcache://cache_entries")}

# --- Accounts ------------------------------------------------------------------

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
AUTHENTICATION_BACKENDS = [
    "agents_app.web.account_backend.AccountBackend",
    # Distinguishes users whose names differ only in case, and keeps older logins valid.
    "django.contrib.auth.backends.ModelBackend",
]
SIGN_UP = env.flag("SIGN_UP", default=False)

ACCOUNT_ADAPTER = "agents_app.web.accounts.allauth_adapter.AccountAdapter"
ACCOUNT_FORMS = {
    name: f"agents_app.web.accounts.forms.{form}"
    for name, form in {
        "login": "LoginForm",
        "signup": "SignupForm",
        "add_email": "AddEmailForm",
        "change_password": "ChangePasswordForm",
        "set_password": "SetPasswordForm",
        "reset_password": "ResetPasswordForm",
        "reset_password_from_key": "NewPasswordForm",
        "reauthenticate": "ReauthenticateForm",
    }.items()
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_CHANGE_EMAIL = True  # one address, replaced once the new one is confirmed
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before the address changes
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# Forms neither reveal which addresses have an account nor send mail to strangers.
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False

# --- E-mail --------------------------------------------------------------------

# Printed to the console in development; without a server, passwords cannot be reset.
_email = env.email("EMAIL_URL", default="consolemail://" if DEBUG else "")
SENDS_EMAIL = bool(_email)
_NO_EMAIL = {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
vars().update(mail_settings(_email or _NO_EMAIL))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="webmaster@localhost")

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True

# --- Static files --------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
if not DEBUG:  # collectstatic adds hashes to names, so that browsers can cache files for ever
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "config.static.HashedStorage"},
    }

# --- Security ------------------------------------------------------------------

HTTPS = env.flag("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if env.flag("TRUST_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # rate limits take the address from X-Forwarded-For
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and preloading affect the whole domain: its operator sets them, in the
    # proxy.
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

# The default model: `local`, a pydantic-ai model string such as openai:gpt-4.1-mini, or, with
# AGENT_BASE_URL, the name of a model on that server.
AGENT_MODEL = env.str("AGENT_MODEL", default="").strip()
# An OpenAI-compatible server (Ollama, vLLM, llama.cpp), used for every openai: model.
AGENT_BASE_URL = env.http_url("AGENT_BASE_URL", default="")
AGENT_API_KEY = env.token("AGENT_API_KEY")
AGENT_TIME_LIMIT = env.number("AGENT_TIME_LIMIT", default=120, minimum=1)  # seconds per run
AGENT_TOKEN_LIMIT = env.number("AGENT_TOKEN_LIMIT", default=1024, minimum=1)  # output, per run
# A process without a heartbeat for this many seconds is presumed dead, and its runs are marked
# as interrupted, or taken over by another worker.
AGENT_HEARTBEAT_TIMEOUT = env.number("AGENT_HEARTBEAT_TIMEOUT", default=12, minimum=5)
# For how long a web process that is told to exit lets its runs continue.
AGENT_GRACE_SECONDS = env.number("AGENT_GRACE_SECONDS", default=2)
# Where runs are answered: in the web server, or by workers on any machine (PostgreSQL only).
ANSWERS_IN = env.choice("ANSWERS_IN", ["web", "workers"])
if ANSWERS_IN == "workers" and not IS_POSTGRESQL:
    raise ImproperlyConfigured("ANSWERS_IN=workers needs PostgreSQL; DATABASE_URL names SQLite.")
# A file that a worker touches every few seconds unless it hangs.
WORKER_HEARTBEAT_FILE = env.str("WORKER_HEARTBEAT_FILE", default="")
AGENT_RUNS_PER_USER = env.number("AGENT_RUNS_PER_USER", default=4, minimum=1)
# Per API key; 0 sets no limit.
API_REQUESTS_PER_MINUTE = env.number("API_REQUESTS_PER_MINUTE", default=600)
AGENT_RUNS_PER_PROCESS = env.number("AGENT_RUNS_PER_PROCESS", default=500, minimum=1)
# The maximum of input and output tokens together.
AGENT_CONTEXT_TOKENS = env.number("AGENT_CONTEXT_TOKENS", default=8192, minimum=512)
if AGENT_TOKEN_LIMIT >= AGENT_CONTEXT_TOKENS:
    raise ImproperlyConfigured(
        f"AGENT_TOKEN_LIMIT={AGENT_TOKEN_LIMIT} leaves no room for messages: "
        f"AGENT_CONTEXT_TOKENS is {AGENT_CONTEXT_TOKENS}."
    )

# --- Monitoring ----------------------------------------------------------------

# The bearer token for /metrics; without one, it answers only clients on this machine.
METRICS_TOKEN = env.token("METRICS_TOKEN")

# --- Logging -------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", ["line", "json"])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "config.log_formatters.RequestFilter"}},
    "formatters": {
        "line": {
            "()": "config.log_formatters.LineFormatter",
            "format": "{asctime} {levelname} {name}{in_request}: {message}",
            "style": "{",
        },
        "json": {"()": "config.log_formatters.JsonFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["request"],
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "sessions_app": {"level": "INFO"},
        "agents_app": {"level": "INFO"},
        # Naming these loggers removes their own handlers: Django's only mail ADMINS, and those of
        # the servers neither escape control characters nor mask API keys.
        "django": {"level": "WARNING"},
        # The servers' loggers keep their levels; uvicorn's are set on its command line.
        **{
            name: {"propagate": True}
            for name in ("django.server", "uvicorn", "uvicorn.error", "uvicorn.access")
        },
    },
}
