"""A limit on the requests of each key, which holds however many processes answer them.

No kept library does it on what every installation has, its database. Of 1,000 requests by four
processes at a limit of 500, django-ratelimit let 1,000 through on PostgreSQL and 879 on SQLite:
the counters of Django's database cache are not atomic, and `limits` counts in Redis, Memcached or
MongoDB only. django-smart-ratelimit let 500 through, in five statements each that took 8 and 46
times as long as the one here, with thirteen tables for tenants, quotas and keys of its own.
"""

import time

from django.conf import settings
from django.db import connection

from agents_app.api.errors import ApiError
from agents_app.models import ApiKey

WINDOW = 60  # seconds


def check_rate_limit(key: ApiKey) -> None:
    """Count a request of a key, atomically. Raises ApiError (429) above API_REQUESTS_PER_MINUTE."""
    limit = settings.API_REQUESTS_PER_MINUTE
    if not limit:
        return
    now = time.time()
    window = int(now // WINDOW)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO api_key_requests AS r (key_id, time_window, count) VALUES (%s, %s, 1)
            ON CONFLICT (key_id) DO UPDATE SET
                count = CASE WHEN r.time_window = excluded.time_window THEN r.count + 1 ELSE 1 END,
                time_window = excluded.time_window
            RETURNING count
            """,
            [key.pk.hex if connection.vendor == "sqlite" else key.pk, window],
        )
        [used] = cursor.fetchone()
    if used > limit:
        wait = int((window + 1) * WINDOW - now) + 1
        raise ApiError(
            429,
            "too_many_requests",
            f"This key has made {limit} requests within a minute. Try again in {wait} seconds.",
            Retry_After=str(wait),
        )
