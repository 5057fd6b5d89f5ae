"""Who may open what in the admin: the table that tests/test_admin_matrix.py compares it with.

A new model needs an entry in MODELS and a row in `make_rows`, a page of one's own an entry in
PAGES under the name of its URL, and an action an entry in ACTIONS. A page that is missing here
fails the tests.
"""

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.urls import URLPattern, URLResolver

from agents_app.accounts.api_keys import create_key
from agents_app.models import Feedback, Scope
from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Export, Message, Session, TranscriptReading
from tests.agents_app.chats import failed, make_agent, make_user
from tests.factories import phantom, say

Permissions = frozenset[str]


@dataclass(frozen=True)
class Rule:
    """Sets of permissions, each of which is enough for a member of staff."""

    alternatives: tuple[Permissions, ...]

    def allows(self, permissions: Permissions, *, is_superuser: bool = False) -> bool:
        return any(is_superuser or needed <= permissions for needed in self.alternatives)

    @property
    def named(self) -> Permissions:
        return frozenset().union(*self.alternatives)


def needs(*alternatives: str) -> Rule:
    """`needs("view_x", "change_x y")`: view_x, or change_x and y."""
    return Rule(tuple(frozenset(text.split()) for text in alternatives))


STAFF = needs("")
NOBODY = needs()  # not even a superuser


@dataclass(frozen=True)
class Page:
    """Who gets a page, who may send it a form, and what those who may get as an answer."""

    see: Rule
    do: Rule
    status: int = 200


def page(see: Rule, do: Rule | None = None, *, status: int = 200) -> Page:
    """A form may be sent by those who may see the page, unless said otherwise."""
    return Page(see, see if do is None else do, status)


def pages_of(
    name: str,
    *,
    view: Rule | None = None,
    add: Rule = NOBODY,
    change: Rule = NOBODY,
    delete: Rule = NOBODY,
) -> dict[str, Page]:
    """Django's pages of a model; without a rule for viewing, Django's own."""
    model_name = name.rpartition("_")[2]
    view = view or needs(f"view_{model_name}", f"change_{model_name}")
    return {
        f"{name}_changelist": page(view),
        f"{name}_add": page(add),
        f"{name}_history": page(view),
        f"{name}_delete": page(delete),
        f"{name}_change": page(view, change),
        f"{name}/<path:object_id>/": page(STAFF, status=302),  # an old address of the page
    }


def editable(name: str, *, add: Rule | None = None) -> dict[str, Page]:
    """The pages of a model that Django's four permissions are for."""
    model_name = name.rpartition("_")[2]
    delete = f"delete_{model_name}"
    return pages_of(
        name,
        add=add or needs(f"add_{model_name}"),
        change=needs(f"change_{model_name}"),
        delete=needs(f"{delete} view_{model_name}", f"{delete} change_{model_name}"),
    )


VIEW_SESSION = needs("view_session", "change_session")
MODELS: dict[str, dict[str, Page]] = {
    "sessions_app_session": {**editable("sessions_app_session", add=NOBODY)},
    "sessions_app_message": pages_of(
        "sessions_app_message",
        view=needs("view_message read_transcripts", "change_message read_transcripts"),
    ),
    "sessions_app_cleanuprun": pages_of("sessions_app_cleanuprun"),
    "sessions_app_transcriptreading": pages_of("sessions_app_transcriptreading"),
    "sessions_app_export": pages_of(
        "sessions_app_export", view=needs("view_transcriptreading", "change_transcriptreading")
    ),
    "agents_app_agent": editable("agents_app_agent"),
    "agents_app_agentrun": pages_of("agents_app_agentrun"),
    "agents_app_feedback": pages_of("agents_app_feedback"),
    "agents_app_apikey": pages_of("agents_app_apikey", add=needs("add_apikey")),
    "auth_user": editable("auth_user", add=needs("add_user change_user")),
    "auth_group": editable("auth_group"),
    "account_emailaddress": editable("account_emailaddress"),
}
_ACTING_ON_SESSIONS = [
    f"{seen} {acting}"
    for seen in ("view_session", "change_session")
    for acting in ("delete_session", "export_session")
]
PAGES: dict[str, Page] = {
    **{name: rule for pages in MODELS.values() for name, rule in pages.items()},
    # A form without an action is refused to those who have none.
    "sessions_app_session_changelist": page(VIEW_SESSION, needs(*_ACTING_ON_SESSIONS)),
    # Forms of the list and of a session's page, which are no pages themselves.
    "sessions_app_session_savefilter": page(STAFF, VIEW_SESSION, status=405),
    "sessions_app_session_deletefilter": page(STAFF, VIEW_SESSION, status=405),
    "sessions_app_session_review": page(
        needs("view_session review_session", "change_session review_session"), status=405
    ),
    "sessions_app_cleanuprun_restore": page(
        needs("view_cleanuprun restore_session", "change_cleanuprun restore_session")
    ),
    "auth_user_password_change": page(needs("change_user")),
    "index": page(STAFF),
    "password_change": page(STAFF),
    "password_change_done": page(STAFF, NOBODY),
    "jsi18n": page(STAFF, NOBODY),
    "autocomplete": page(NOBODY),  # no field here uses it
    "view_on_site": page(STAFF, status=404),  # no model has an address there
    "": page(STAFF, status=404),  # what is nothing else's
}
# For everybody.
OPEN = {"login", "logout"}
# Who sees a section's page is decided by what is in it: see `visible_sections`.
SECTIONS = "app_list"

# By model: the actions of its list.
ACTIONS: dict[str, dict[str, Rule]] = {
    "sessions_app_session": {
        "remove_empty_sessions": needs(*(rule for rule in _ACTING_ON_SESSIONS if "delete" in rule)),
        "export_sessions": needs(*(rule for rule in _ACTING_ON_SESSIONS if "export" in rule)),
    },
    "agents_app_agent": {
        "delete_selected": MODELS["agents_app_agent"]["agents_app_agent_delete"].see
    },
    "agents_app_apikey": {"revoke": needs("change_apikey")},
    "auth_user": {"delete_selected": MODELS["auth_user"]["auth_user_delete"].see},
    "auth_group": {"delete_selected": MODELS["auth_group"]["auth_group_delete"].see},
    "account_emailaddress": {
        "delete_selected": MODELS["account_emailaddress"]["account_emailaddress_delete"].see,
        "make_verified": needs("view_emailaddress", "change_emailaddress"),
    },
}


# --- What there is -----------------------------------------------------------------


def make_rows() -> dict[str, Model]:
    """One row of each model, by the name of its URLs; they belong together."""
    ana = make_user("ana")
    run = failed(ana, "A private question")
    answer = say(run.session, "A private answer", role="assistant", user=ana)
    phantom()
    cleanup = start_cleanup(
        source=CleanupRun.Source.ADMIN, started_by="root", matched=1, criteria={}
    )
    run_cleanup(cleanup, Session.objects.all(), Target(), Options())
    key, _ = create_key(ana, name="Phone", scopes=list(Scope))
    address_model: Any = apps.get_model("account", "EmailAddress")
    return {
        "sessions_app_session": run.session,
        "sessions_app_message": Message.objects.get(pk=run.message_id),
        "sessions_app_cleanuprun": cleanup,
        "sessions_app_transcriptreading": TranscriptReading.objects.create(
            user=ana, username="ana", session_id=run.session_id, via="page"
        ),
        "sessions_app_export": Export.objects.create(
            user=ana,
            username="ana",
            selection="the whole list",
            format="csv",
            with_transcripts=True,
        ),
        "agents_app_agent": make_agent(),
        "agents_app_agentrun": run,
        "agents_app_feedback": Feedback.objects.create(message=answer, user=ana, is_good=True),
        "agents_app_apikey": key,
        "auth_user": ana,
        "auth_group": Group.objects.create(name="Reviewers"),
        "account_emailaddress": address_model.objects.create(user=ana, email="ana@example.org"),
    }


def log_entries(user: User, rows: dict[str, Model]) -> None:
    """As if the user had changed all rows: the first page links to what one has changed."""
    for row in rows.values():
        LogEntry.objects.create(
            user=user,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row)[:200],
            action_flag=CHANGE,
            change_message="Changed.",
        )


@dataclass(frozen=True)
class Address:
    """One of the admin's URLs: its name in PAGES, and the model that it is about, if any."""

    name: str
    route: str
    model: str = ""

    def url(self, rows: dict[str, Model]) -> str:
        """The URL with the row's key, or whatever else its parameters ask for."""
        row = rows.get(self.model)
        parameters = {
            "<path:object_id>": str(row.pk if row else 1),
            "<id>": str(row.pk if row else 1),
            "<int:filter_id>": "1",
            "<path:content_type_id>": str(ContentType.objects.get_for_model(User).pk),
            "<int:content_type_id>": str(ContentType.objects.get_for_model(User).pk),
            "(?P<url>.*)$": "no/such/page/",
        }
        route = self.route
        for parameter, value in parameters.items():
            route = route.replace(parameter, value)
        assert not set("<(^$") & set(route), f"{self.route}: fill the new parameter in here"
        return f"/admin/{route}"


def addresses() -> list[Address]:
    """Every URL of the admin but the pages of the sections."""
    models = {
        f"{model._meta.app_label}/{model._meta.model_name}/": f"{model._meta.label_lower}"
        for model in admin.site._registry
    }
    found = []
    for entry in admin.site.get_urls():
        route = str(entry.pattern)
        if isinstance(entry, URLPattern):
            if entry.name not in OPEN | {SECTIONS}:
                found.append(Address(entry.name or "", route))
            continue
        assert isinstance(entry, URLResolver)
        model = models[route].replace(".", "_")
        for pattern in entry.url_patterns:
            assert isinstance(pattern, URLPattern)
            name = pattern.name or f"{model}/{pattern.pattern}"
            found.append(Address(name, f"{route}{pattern.pattern}", model))
    return found


def visible_sections(permissions: Permissions, *, is_superuser: bool) -> set[str]:
    """The sections with a model that the user may view, add or delete."""
    return {
        model._meta.app_label
        for model in admin.site._registry
        for name in [f"{model._meta.app_label}_{model._meta.model_name}"]
        for rule in (
            *(MODELS[name][f"{name}_{what}"].see for what in ("changelist", "add", "delete")),
            MODELS[name][f"{name}_change"].do,
        )
        if rule.allows(permissions, is_superuser=is_superuser)
    }
