"""One measurement in a separate process; prints it as JSON.

python -m tests.bench.child clean|delete|dry-run [WORKERS [no-archive]]
"""

import json
import resource
import sys
import time
from typing import Any

import django


def clean(workers: int, *, archive: bool) -> dict[str, Any]:
    """A cleanup with default batches.

    Returns its seconds, its longest transaction in milliseconds, and when it started and ended
    on the machine's monotonic clock.
    """
    from django.conf import settings

    from sessions_app.cleanup import batches
    from sessions_app.cleanup.options import Options, Target
    from sessions_app.cleanup.run import run_cleanup, start_cleanup
    from sessions_app.management.operator_command import lower_priority
    from sessions_app.models import CleanupRun, Session

    if not archive:
        settings.CLEANUP_ARCHIVE_DAYS = 0
    longest = 0.0
    remove_batch = batches.Batches.remove_batch

    def timed(*args: Any, **kwargs: Any) -> batches.Batch:
        nonlocal longest
        started = time.perf_counter()
        try:
            return remove_batch(*args, **kwargs)
        finally:
            longest = max(longest, time.perf_counter() - started)

    batches.Batches.remove_batch = timed  # type: ignore[method-assign]
    lower_priority()  # as the command does
    started = time.monotonic()
    run = start_cleanup(
        source=CleanupRun.Source.COMMAND, started_by="bench", matched=0, criteria={}
    )
    run_cleanup(run, Session.objects.all(), Target(), Options(workers=workers))
    ended = time.monotonic()
    return {
        "rows": run.removed,
        "seconds": ended - started,
        "longest_ms": longest * 1000,
        "period": (started, ended),
    }


def delete() -> dict[str, Any]:
    """The obvious way: `QuerySet.delete()`."""
    from sessions_app.models import Session

    started = time.perf_counter()
    _, by_model = Session.objects.removable().delete()
    return {"rows": by_model["sessions_app.Session"], "seconds": time.perf_counter() - started}


def dry_run() -> dict[str, Any]:
    """The counts of a dry run."""
    from django.db import connection

    from sessions_app.models import Session

    connection.ensure_connection()
    started = time.perf_counter()
    plan = Session.objects.removal_plan()
    return {"rows": plan.removable, "seconds": time.perf_counter() - started}


def main() -> None:
    django.setup()
    what, *rest = sys.argv[1:]
    if what == "clean":
        result = clean(int(rest[0]), archive="no-archive" not in rest)
    else:
        result = {"delete": delete, "dry-run": dry_run}[what]()
    result["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(result))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main()
