"""Who may open what in the admin: every URL and every action, by permission.

tests/admin_access.py says who may; here it is compared with what the admin answers.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import Model
from django.test import Client, RequestFactory

from tests.admin_access import (
    ACTIONS,
    MODELS,
    PAGES,
    Address,
    Permissions,
    Rule,
    addresses,
    log_entries,
    make_rows,
    visible_sections,
)
from tests.agents_app.chats import make_user
from tests.sessions_app.admin.helpers import Page

OWN_APPS = ("sessions_app", "agents_app")
OTHER_APPS = ("auth", "account")
ADDRESSES = addresses()
SECTIONS = sorted({model._meta.app_label for model in admin.site._registry})
RULES = [rule for page in PAGES.values() for rule in (page.see, page.do)] + [
    rule for actions in ACTIONS.values() for rule in actions.values()
]
NAMED = frozenset().union(*(rule.named for rule in RULES))

pytestmark = pytest.mark.django_db


def permissions_of(app_labels: Iterable[str]) -> list[str]:
    """The code names of all permissions on models of these apps."""
    return sorted(
        codename
        for label in app_labels
        for model in apps.get_app_config(label).get_models()
        for codename in (
            *(f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    )


OWN, OTHERS = permissions_of(OWN_APPS), permissions_of(OTHER_APPS)
SINGLE = [codename for codename in [*OWN, *OTHERS] if codename in NAMED]
# What opens nothing alone opens nothing together with others of its kind either: tried at once.
REST = [codename for codename in [*OWN, *OTHERS] if codename not in NAMED]
PAIRS = [("view_session", name) for name in OWN if name in NAMED and name != "view_session"]
REVIEWERS = [
    ("view_session", "read_transcripts", "view_message", "view_agentrun", "view_feedback"),
    ("view_session", "read_transcripts", "view_agentrun", "view_transcriptreading"),
    ("view_session", "delete_session", "restore_session", "view_cleanuprun", "view_agent"),
    ("view_message", "read_transcripts", "view_feedback", "view_transcriptreading"),
    tuple(codename for codename in SINGLE if codename.startswith("view_")),
    tuple(
        codename
        for codename in SINGLE
        if codename.startswith("view_") and codename not in {"view_user", "view_agent"}
    ),
    tuple(codename for codename in SINGLE if codename != "view_session"),
    tuple(codename for codename in SINGLE if codename != "read_transcripts"),
]


@pytest.fixture
def rows() -> dict[str, Model]:
    return make_rows()


class Visitor:
    """A member of staff with these permissions, in a browser."""

    def __init__(self, rows: dict[str, Model], *codenames: str, **values: Any) -> None:
        self.rows = rows
        self.permissions: Permissions = frozenset(codenames)
        self.user = make_user("visitor", **{"is_staff": True, **values})
        granted = Permission.objects.filter(codename__in=codenames)
        assert {permission.codename for permission in granted} == self.permissions
        self.user.user_permissions.set(granted)
        log_entries(self.user, rows)
        self.client = Client()
        self.client.force_login(self.user)
        self.followed: dict[str, int] = {}

    def may(self, rule: Rule) -> bool:
        return rule.allows(self.permissions, is_superuser=self.user.is_superuser)

    def see(self, address: Address) -> None:
        """The page's status is the table's, and none of its links leads to a 403."""
        page = PAGES[address.name]
        url = address.url(self.rows)
        response = self.client.get(url)
        self.followed[url] = response.status_code
        expected = page.status if self.may(page.see) else 403
        assert response.status_code == expected, f"{url}: {response.status_code}"
        if response.status_code == 200 and "text/html" in response["Content-Type"]:
            self.follow(Page(self.client, response))

    def follow(self, page: Page) -> None:
        for link in page.links:
            target = urldefrag(urljoin(page.url, link)).url
            if not target.startswith("/admin/") or link.startswith(("?", "#")):
                continue
            if target not in self.followed:
                self.followed[target] = self.client.get(target).status_code
            assert self.followed[target] in {200, 302}, f"{target} on {page.url}"

    def post(self, address: Address) -> None:
        """An empty form is refused as the table says."""
        page = PAGES[address.name]
        url = address.url(self.rows)
        with transaction.atomic():
            response = self.client.post(url)
            transaction.set_rollback(True)
        if self.may(page.do):
            assert response.status_code in {page.status, 200, 302}, url
        else:
            assert response.status_code in {403, 405}, f"{url}: {response.status_code}"

    def sections(self) -> None:
        visible = visible_sections(self.permissions, is_superuser=self.user.is_superuser)
        for label in SECTIONS:
            response = self.client.get(f"/admin/{label}/")
            assert response.status_code == (200 if label in visible else 404), label
            if label in visible:
                self.follow(Page(self.client, response))

    def act(self, model: str) -> None:
        """The list offers the actions that the table says, and runs no other."""
        url = f"/admin/{MODEL_ROUTES[model]}"
        may_see = self.may(PAGES[f"{model}_changelist"].see)
        shown = self.client.get(url).content.decode() if may_see else ""
        for name, rule in ACTIONS[model].items():
            assert (f'<option value="{name}">' in shown) == self.may(rule), f"{name} of {model}"
            before = self.stored()
            data = {"action": name, "_selected_action": str(self.rows[model].pk)}
            with transaction.atomic():
                if self.may(rule):
                    assert self.client.post(url, data).status_code in {200, 302}
                else:
                    # Django shows the list again, with "No action selected".
                    response = self.client.post(url, {**data, "post": "yes"})
                    assert response.status_code in {200, 302, 403}
                    assert self.stored() == before
                transaction.set_rollback(True)

    def stored(self) -> list[Any]:
        return [list(type(row)._base_manager.values_list()) for row in self.rows.values()]


MODEL_ROUTES = {
    f"{model._meta.app_label}_{model._meta.model_name}": (
        f"{model._meta.app_label}/{model._meta.model_name}/"
    )
    for model in admin.site._registry
}


def superuser_request() -> Any:
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True, is_staff=True)
    return request


# --- The table is complete ---------------------------------------------------------


def test_every_url_and_model_is_in_the_table(rows: dict[str, Model]) -> None:
    missing = {address.name for address in ADDRESSES} - set(PAGES)
    assert not missing, "say in tests/admin_access.py who may open these"
    assert set(PAGES) == {address.name for address in ADDRESSES}
    assert set(MODELS) == set(MODEL_ROUTES) == set(rows)
    assert set(SINGLE) == NAMED, "a rule names a permission that does not exist"


def test_every_action_is_in_the_table() -> None:
    actions = {
        f"{model._meta.app_label}_{model._meta.model_name}": set(found)
        for model, model_admin in admin.site._registry.items()
        if (found := model_admin.get_actions(superuser_request()))
    }
    assert actions == {model: set(rules) for model, rules in ACTIONS.items()}


# --- The admin answers as it says --------------------------------------------------


@pytest.mark.parametrize("who", ["anonymous", "ordinary"])
def test_who_is_not_staff_is_asked_to_log_in(who: str, rows: dict[str, Model]) -> None:
    client = Client()
    if who == "ordinary":
        user = make_user("visitor")
        user.user_permissions.set(Permission.objects.all())  # which do not matter
        client.force_login(user)
    sections = [f"/admin/{label}/" for label in SECTIONS]
    for url in [*(address.url(rows) for address in ADDRESSES), *sections]:
        for method in (client.get, client.post):
            response = method(url)
            assert response.status_code == 302, url
            assert response["Location"].startswith("/admin/"), url


@pytest.mark.parametrize("codenames", [(), *((name,) for name in SINGLE), tuple(REST)], ids=str)
def test_pages_with_one_permission(codenames: tuple[str, ...], rows: dict[str, Model]) -> None:
    visitor = Visitor(rows, *codenames)
    single = visitor.permissions & set(SINGLE)
    for address in ADDRESSES:
        visitor.see(address)
        page = PAGES[address.name]
        # What such a permission has nothing to do with is tried once, with none.
        if not single or single & (page.see.named | page.do.named):
            visitor.post(address)
    for model in ACTIONS:
        visitor.act(model)
    if not set(codenames) & set(REST):  # a section without a page for any of its permissions
        visitor.sections()


@pytest.mark.parametrize("codenames", [*PAIRS, *REVIEWERS], ids="+".join)
def test_links_with_several_permissions(codenames: tuple[str, ...], rows: dict[str, Model]) -> None:
    visitor = Visitor(rows, *codenames)
    for address in ADDRESSES:
        if visitor.may(PAGES[address.name].see):
            visitor.see(address)
    for model in ACTIONS:
        if visitor.may(PAGES[f"{model}_changelist"].see):
            visitor.act(model)
    visitor.sections()


def test_pages_of_a_superuser(rows: dict[str, Model]) -> None:
    visitor = Visitor(rows, is_superuser=True)
    for address in ADDRESSES:
        visitor.see(address)
        visitor.post(address)
    for model in ACTIONS:
        visitor.act(model)
    visitor.sections()
