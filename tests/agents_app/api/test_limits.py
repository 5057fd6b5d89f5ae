"""The limit on the requests of a key, counted by several web processes at once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from django.contrib.auth.models import User

from agents_app.api.throttling import WINDOW
from tests.agents_app.api.conftest import key_for
from tests.conftest import database_url
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 20
REQUESTS = 60


def test_several_processes(user: User) -> None:
    with (
        serve(database_url(), API_REQUESTS_PER_MINUTE=str(LIMIT)) as one,
        serve(database_url(), API_REQUESTS_PER_MINUTE=str(LIMIT)) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        for server in (one, other):  # wait until it has started
            httpx2.get(f"{server.address}/api/v1/health", timeout=60).raise_for_status()

        def ask(address: str, key: str) -> int:
            headers = {"X-API-Key": key}
            return httpx2.get(f"{address}/api/v1/agents", headers=headers, timeout=60).status_code

        while True:
            key = key_for(user)
            window = time.time() // WINDOW
            addresses = [one.address, other.address] * (REQUESTS // 2)
            statuses = Counter(pool.map(ask, addresses, [key] * REQUESTS))
            if time.time() // WINDOW == window:  # otherwise the count was reset in between
                break
    assert statuses == {200: LIMIT, 429: REQUESTS - LIMIT}
