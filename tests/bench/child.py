"""One measurement in a process of its own; prints it as JSON.

python -m tests.bench.child clean|delete|survey [WORKERS [no-archive]]
"""

import json
import resource
import sys
import time
from typing import Any

import django


def clean(workers: int, *, archive: bool) -> dict[str, Any]:
    """A cleanup with default batches: seconds, and the longest transaction in milliseconds."""
    from django.conf import settings

    from sessions_app import batches, cleanup
    from sessions_app.models import CleanupRun, Session

    if not archive:
        settings.CLEANUP_ARCHIVE_DAYS = 0
    longest = 0.0
    remove = batches.Batches.remove

    def timed(*args: Any, **kwargs: Any) -> batches.Batch:
        nonlocal longest
        started = time.perf_counter()
        try:
            return remove(*args, **kwargs)
        finally:
            longest = max(longest, time.perf_counter() - started)

    batches.Batches.remove = timed  # type: ignore[method-assign]
    started = time.perf_counter()
    run = cleanup.start_cleanup(
        source=CleanupRun.Source.COMMAND, started_by="bench", matched=0, criteria={}
    )
    cleanup.run_cleanup(run, Session.objects.all(), cleanup.Criteria(workers=workers))
    seconds = time.perf_counter() - started
    return {"rows": run.removed, "seconds": seconds, "longest_ms": longest * 1000}


def delete() -> dict[str, Any]:
    """What one would write first: `QuerySet.delete()`."""
    from sessions_app.models import Session

    started = time.perf_counter()
    _, by_model = Session.objects.removable().delete()
    return {"rows": by_model["sessions_app.Session"], "seconds": time.perf_counter() - started}


def survey() -> dict[str, Any]:
    """A dry run: what it counts."""
    from django.db import connection

    from sessions_app.models import Session

    connection.ensure_connection()
    started = time.perf_counter()
    counted = Session.objects.survey()
    return {"rows": counted.removable, "seconds": time.perf_counter() - started}


def main() -> None:
    django.setup()
    what, *rest = sys.argv[1:]
    if what == "clean":
        result = clean(int(rest[0]), archive="no-archive" not in rest)
    else:
        result = {"delete": delete, "survey": survey}[what]()
    result["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(result))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main()
