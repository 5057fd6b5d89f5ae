"""Metrics in Prometheus' format, for METRICS_TOKEN or for clients on the same machine.

They combine what this process has observed with what the database contains. The latter has to
stay cheap with millions of rows: capped counts, estimates, a statement timeout and a cache.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import prometheus_client
from django.conf import settings
from django.db import Error, connection, models, transaction
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

# Imported for its metrics, which a process that has not answered yet reports as zero.
import agents_app.runs.metrics  # noqa: F401
from agents_app.models import AgentRun, WorkerProcess
from sessions_app.models import CleanupRun, Session

COUNT_LIMIT = 10_000
STATEMENT_TIMEOUT = "2s"
_CACHE_SECONDS = 60
_RECENT = timedelta(hours=1)
_PROXY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded")

_errors = prometheus_client.Counter(
    "chat_metrics_errors", "Scrapes during which the database failed or timed out."
)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of this process and of the database; 401 or 403 without the right to see them."""
    if settings.METRICS_TOKEN:
        if not _has_token(request):
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    elif not _is_local(request):
        return HttpResponse(status=403)
    body = generate_latest(_database) + generate_latest(REGISTRY)
    return HttpResponse(body, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and constant_time_compare(token, settings.METRICS_TOKEN)


def _is_local(request: HttpRequest) -> bool:
    """Whether the request comes from this machine itself, not through a proxy on it."""
    if any(header in request.headers for header in _PROXY_HEADERS):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    # IPv4 over an IPv6 socket; Python 3.11's is_loopback does not unwrap it.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class _DatabaseCollector(Collector):
    """Reads the database at each scrape; leaves out what fails or times out."""

    def __init__(self) -> None:
        self._removable: tuple[float, int | None] | None = None
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        # The slowest comes last, since an error ends the scrape of the database.
        try:
            for part in (_runs, _processes, _sessions, _last_cleanup):
                with _statement_timeout():
                    found = list(part())
                yield from found
        except Error:
            _errors.inc()
            return
        removable = self._cached_removable()
        if removable is not None:
            yield GaugeMetricFamily(
                "chat_removable_sessions",
                f"Sessions that a cleanup would remove, counted up to {COUNT_LIMIT}.",
                value=removable,
            )

    def _cached_removable(self) -> int | None:
        with self._lock:
            if self._removable is None or time.monotonic() >= self._removable[0]:
                try:
                    with _statement_timeout():
                        count = _capped_count(Session.objects.removable())
                except Error:
                    _errors.inc()
                    count = None
                self._removable = (time.monotonic() + _CACHE_SECONDS, count)
            return self._removable[1]


_database = CollectorRegistry()
_database.register(_DatabaseCollector())


@contextmanager
def _statement_timeout() -> Iterator[None]:
    """On PostgreSQL, a transaction whose statements are cancelled after STATEMENT_TIMEOUT.

    On SQLite nothing, since a transaction there would lock out all writers.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        yield


def _runs() -> Iterator[Metric]:
    active = GaugeMetricFamily("chat_active_runs", "Runs that have not ended.", labels=["status"])
    counts = AgentRun.objects.active().values_list("status").annotate(Count("pk")).order_by()
    _add_by_status(active, dict.fromkeys(AgentRun.ACTIVE, 0) | dict(counts))
    yield active
    recent = GaugeMetricFamily(
        "chat_recent_runs",
        f"Runs created within the last hour, at most the newest {COUNT_LIMIT}.",
        labels=["status"],
    )
    newest = AgentRun.objects.filter(created_at__gt=timezone.now() - _RECENT)
    rows = newest.order_by("-created_at", "-id").values_list(
        "status", "created_at", "first_token_at", "finished_at"
    )[:COUNT_LIMIT]
    _add_by_status(
        recent, dict.fromkeys(AgentRun.Status, 0) | Counter(status for status, *_ in rows)
    )
    yield recent
    yield _quantiles(
        "chat_recent_first_token_seconds",
        "Time from the start of a run to the first text of its answer, for the same runs.",
        [first - created for _, created, first, _ in rows if first],
    )
    yield _quantiles(
        "chat_recent_answer_seconds",
        "Time from the start of a run to its end, for the same runs.",
        [finished - created for _, created, _, finished in rows if finished],
    )


def _quantiles(name: str, documentation: str, durations: list[timedelta]) -> GaugeMetricFamily:
    """The 50th, 90th and 99th percentiles; empty without durations."""
    family = GaugeMetricFamily(name, documentation, labels=["quantile"])
    ordered = sorted(durations)
    for percent in (50, 90, 99) if ordered else ():
        value = ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
        family.add_metric([str(percent / 100)], value.total_seconds())
    return family


def _processes() -> Iterator[Metric]:
    alive = WorkerProcess.objects.alive().aggregate(count=Count("pk"), lag=Max("save_lag"))
    yield GaugeMetricFamily(
        "chat_answering_processes",
        "Web processes or workers that answer, by their heartbeats.",
        value=alive["count"],
    )
    yield GaugeMetricFamily(
        "chat_save_lag_seconds",
        "Age of the oldest unsaved text at the last save, the highest of all processes.",
        value=alive["lag"] or 0,
    )


def _sessions() -> Iterator[Metric]:
    shown = Session.objects.not_trashed()
    total = _capped_count(shown)
    candidates = _capped_count(shown.removal_candidates())
    trashed = _capped_count(Session.objects.trashed())
    if connection.vendor == "postgresql":
        if trashed >= COUNT_LIMIT:
            trashed = max(trashed, _estimated_rows("sessions_trashed"))
        if total >= COUNT_LIMIT:
            total = max(total, _estimated_rows("sessions") - trashed)
        if candidates >= COUNT_LIMIT:
            hidden = _capped_count(Session.objects.trashed().removal_candidates())
            candidates = max(candidates, _estimated_rows("sessions_auto_named") - hidden)
    family = GaugeMetricFamily(
        "chat_sessions",
        "Sessions by kind: auto-named ones on the platform automagik, others, and those in the "
        "trash, which count as neither. "
        f"Above {COUNT_LIMIT}, an estimate on PostgreSQL; SQLite does not count further.",
        labels=["kind"],
    )
    family.add_metric(["removal_candidate"], candidates)
    family.add_metric(["other"], max(0, total - candidates))
    family.add_metric(["trashed"], trashed)
    yield family


def _last_cleanup() -> Iterator[Metric]:
    run = CleanupRun.objects.with_current_status().order_by("-pk").first()
    if run is None:
        return
    status = GaugeMetricFamily(
        "chat_last_cleanup_status", "1 for the status of the last cleanup.", labels=["status"]
    )
    by_status = {value: int(value == run.current_status) for value in CleanupRun.Status}
    _add_by_status(status, by_status)
    yield status
    yield GaugeMetricFamily(
        "chat_last_cleanup_age_seconds",
        "Time since the last cleanup ended, or since it started when it has not.",
        value=(timezone.now() - (run.finished_at or run.started_at)).total_seconds(),
    )
    yield GaugeMetricFamily(
        "chat_last_cleanup_removed_sessions",
        "Sessions that the last cleanup has removed.",
        value=run.removed,
    )


def _add_by_status(family: GaugeMetricFamily, counts: Mapping[Any, int]) -> None:
    for status, count in counts.items():
        family.add_metric([str(status)], count)


def _capped_count(rows: models.QuerySet[Session]) -> int:
    return rows.order_by()[:COUNT_LIMIT].count()


def _estimated_rows(relation: str) -> int:
    """The number of rows of a table, or of entries of an index, as of its last ANALYZE."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [relation])
        return int(cursor.fetchone()[0])
