"""The times of the admin's pages in one process, on the database at DATABASE_URL, as JSON.

    python -m tests.bench.admin_pages ROUNDS [removal]

Each page is requested once before it is measured. For comparison there is a stock list: a plain
ModelAdmin with the same columns, except the count of messages.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

from tests.bench.reviewed import LONGEST, WORD

DASHBOARD = "/admin/"
LIST = "/admin/sessions_app/session/"
STOCK = "/stock/sessions_app/session/"
STOCK_MESSAGES = "/stock/sessions_app/message/"
RAW_COUNT = """
    SELECT count(*) FROM sessions AS s
    WHERE s.name LIKE 'Session-%' AND s.platform = 'automagik'
      AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.session_id = s.id)
"""
_REMOVALS = 3  # requests
urlpatterns: list[Any] = []


class Measuring:
    """A superuser's browser, and the times of its pages, in milliseconds."""

    def __init__(self, rounds: int) -> None:
        from django.contrib.auth.models import User
        from django.test import Client

        self._rounds = rounds
        self.user = User.objects.get(is_superuser=True)
        self.client = Client()
        self.client.force_login(self.user)
        self.times: dict[str, list[float]] = {}

    def measure(self, name: str, work: Callable[[], Any]) -> None:
        work()
        self.times[name] = [_milliseconds(work) for _ in range(self._rounds)]

    def get(self, path: str) -> str:
        response = self.client.get(path)
        if response.status_code != 200:
            sys.exit(f"GET {path} answered {response.status_code} ({response.headers}).")
        return str(response.content.decode())

    def post_action(self, query: str, selected: Any, **fields: str) -> Any:
        """Choose the removal for all sessions of a list, on all of its pages."""
        form = {
            "action": "remove_empty_sessions",
            "select_across": "1",
            "_selected_action": str(selected),
            **fields,
        }
        response = self.client.post(f"{LIST}{query}", form)
        if response.status_code not in {200, 302}:
            sys.exit(f"POST {LIST}{query} answered {response.status_code}.")
        return response


def measure_pages(measuring: Measuring) -> None:
    from django.core.cache import cache
    from django.db import connection

    from sessions_app.models import Session

    def fresh_dashboard() -> None:
        cache.clear()  # which has the slow counts of the last minute
        measuring.get(DASHBOARD)

    sessions = Session.objects.order_by("created_at")
    count = sessions.count()
    some = sessions[count // 3]
    pages = {
        "list": "",
        "page 2": "?p=2",
        "middle page": f"?p={count // 100}",
        "last page": "?p=-1",
        "last page, by its number": f"?p={count // 50}",
        "removable": "?removable=yes",
        "not removable": "?removable=no",
        "search by id": f"?q={some.pk}",
        "search by name": f"?q=topic+{count // 3}",
        "search, nothing found": "?q=nothing+like+it",
        "order by name": f"?o={_column('shown_name')}",
        "order by last activity": f"?o=-{_column('last_activity')}",
        "one user": "?user=user-17",
        "search in messages": f"?said={WORD}",
    }
    for name, query in pages.items():
        measuring.measure(name, partial(measuring.get, LIST + query))
    measuring.measure("dashboard", fresh_dashboard)
    stock = {"list": "", "page 2": "?p=2", "middle page": pages["middle page"]}
    stock |= {name: query for name, query in pages.items() if name.startswith("search")}
    stock |= {"order by name": "?o=1", "order by last activity": "?o=-6"}
    stock["search in messages"] = f"?q={WORD}"
    for name, query in stock.items():
        path = STOCK_MESSAGES if name == "search in messages" else STOCK
        measuring.measure(f"stock: {name}", partial(measuring.get, path + query))
    longest = Session.objects.get(name=LONGEST)
    measuring.measure("long transcript", lambda: measuring.get(f"{LIST}{longest.pk}/change/"))
    middle = longest.messages.get(position=5000)
    middle_url = f"{LIST}{longest.pk}/change/?message={middle.pk}"
    measuring.measure("its middle", lambda: measuring.get(middle_url))
    measuring.measure("its delete page", lambda: measuring.get(f"{LIST}{longest.pk}/delete/"))
    for name, query in {"removable": "?removable=yes", "all": ""}.items():
        post = partial(measuring.post_action, query, some.pk, index="0")
        measuring.measure(f"confirm {name}", post)

    def raw_count() -> None:
        with connection.cursor() as cursor:
            cursor.execute(RAW_COUNT)

    measuring.measure("raw count", raw_count)


def measure_removal(measuring: Measuring) -> dict[str, float]:
    """Sessions per second that the command removes, and the admin right afterwards."""
    from sessions_app.cleanup.options import Options, Target
    from sessions_app.cleanup.run import run_cleanup, start_cleanup
    from sessions_app.models import CleanupRun, Session

    share = Session.objects.removable().count() // 4
    started = time.perf_counter()
    run = start_cleanup(
        source=CleanupRun.Source.COMMAND, started_by="bench", matched=share, criteria={}
    )
    run_cleanup(run, Session.objects.all(), Target(limit=share), Options())
    by_command = run.removed / (time.perf_counter() - started)

    selected = Session.objects.all()[0].pk
    fields = {"confirm": "on", "matched": str(3 * share)}
    started = time.perf_counter()
    for _ in range(_REMOVALS):
        measuring.post_action("", selected, **fields)
        run = CleanupRun.objects.latest("pk")
        if run.status != CleanupRun.Status.RUNNING:
            break
        fields["run"] = str(run.pk)
    return {"command": by_command, "admin": run.removed / (time.perf_counter() - started)}


def add_stock_pages() -> None:
    """Serve lists of plain ModelAdmins under /stock/."""
    from django.contrib import admin
    from django.urls import include, path
    from django.urls.base import set_urlconf

    from sessions_app.models import Message, Session

    class StockSessions(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = ("name", "user", "platform", "agent", "created_at", "updated_at")
        list_filter = ("platform",)
        list_select_related = ("user", "agent")
        list_per_page = 50
        search_fields = ("id", "name", "user__username", "user__email")
        ordering = ("-created_at",)

    class StockMessages(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = ("session", "position", "role", "text_content", "created_at")
        list_select_related = ("session",)
        search_fields = ("text_content",)
        ordering = ("-created_at",)

    site = admin.AdminSite("stock")
    site.register(Session, StockSessions)
    site.register(Message, StockMessages)
    urlpatterns.extend([path("stock/", site.urls), path("", include("config.urls"))])
    from django.conf import settings

    settings.ROOT_URLCONF = __name__
    set_urlconf(__name__)


def _column(name: str) -> int:
    """The number of a column of the list, by which it can be ordered."""
    from django.contrib import admin

    from sessions_app.models import Session

    model_admin = admin.site.get_model_admin(Session)
    return 1 + list(model_admin.list_display).index(name)


def _milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    django.setup()
    add_stock_pages()
    measuring = Measuring(int(sys.argv[1]))
    if "removal" in sys.argv:
        result: dict[str, Any] = measure_removal(measuring)
    else:
        measure_pages(measuring)
        result = measuring.times
    print(json.dumps(result))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    # ROOT_URLCONF has to find this module, and not import it again.
    sys.modules[__spec__.name] = sys.modules["__main__"]
    main()
