"""Generated requests: every response fits the schema, and none is a server error."""

import os
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx2
import pytest
import schemathesis
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agents_app.api.urls import api
from agents_app.models import Agent
from sessions_app.models import Session
from tests.agents_app.api.conftest import key_for
from tests.agents_app.chats import make_agent, make_user
from tests.conftest import database_url
from tests.model_server import PATIENCE, ModelServer, ToldModel, served_model
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

# How many valid and how many invalid requests are sent to each operation, each with a wrong key and
# with a valid one. They are always the same, unless API_EXAMPLES sets their number.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "40"))
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


SCHEMA = api.get_openapi_schema()
RESULTS: list[Any] = list(schemathesis.openapi.from_dict(deepcopy(SCHEMA)).get_all_operations())
OPERATIONS = [result.ok() for result in RESULTS]
CASES = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in GenerationMode
    # A request without parameters cannot be invalid.
    if mode is not GenerationMode.NEGATIVE or not operation.label.endswith("/health")
]


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    with (
        served_model(ModelServer()) as model,
        serve(
            database_url(),
            DEBUG="off",  # with it, Django responds with debug pages
            AGENT_MODEL="fake",
            AGENT_BASE_URL=model.base_url,
            API_REQUESTS_PER_MINUTE="0",
            LOG_LEVEL="error",
        ) as server,
    ):
        yield server.address


@pytest.fixture
def key(transactional_db: None) -> str:
    make_agent()
    return key_for(make_user(is_staff=True, is_superuser=True))


generated = settings(
    max_examples=EXAMPLES,
    derandomize="API_EXAMPLES" not in os.environ,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda case: getattr(case, "label", ""))
def test_generated_requests(operation: Any, mode: GenerationMode, address: str, key: str) -> None:
    @generated
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        before = Session.objects.count()
        for headers in ({"X-API-Key": "cs_wrong"}, {"X-API-Key": key}):
            response = case.call(base_url=address, headers=headers, timeout=PATIENCE)
            case.validate_response(response, checks=CHECKS)
            if headers["X-API-Key"] != key:
                assert response.status_code == 401 or operation.label.endswith("/health")
            if response.status_code >= 400 or case.method == "GET":
                assert Session.objects.count() == before

    check()


def test_the_paths_of_both_shapes_are_generated() -> None:
    paths = {operation.path for operation in OPERATIONS}
    assert {RUN, COMPLETIONS, "/v1/models", "/v1/models/{model}"} < paths


RUN, COMPLETIONS = "/api/v1/agent/{agent}/run", "/v1/chat/completions"


@pytest.mark.parametrize("path", [RUN, COMPLETIONS])
@pytest.mark.parametrize("answer", ["whole", "streamed", "failed", "refused"])
def test_answers_of_the_model(
    path: str, answer: str, served: str, model: ToldModel, user: User, agent: Agent
) -> None:
    """Including those that generated requests do not reach."""
    if answer == "failed":
        model.fail()
    else:
        model.will_say("Hi!")
    response = httpx2.request(
        "PUT" if answer == "refused" else "POST",
        served + path.format(agent=agent.name),
        json={
            "message_content": "Hello",
            "model": agent.name,
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": answer == "streamed",
        },
        headers={
            "X-API-Key": key_for(user),
            "Accept": "text/event-stream" if answer == "streamed" else "application/json",
        },
        timeout=30,
    )
    documented = SCHEMA["paths"][path]["post"]["responses"]
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert (media_type == "text/event-stream") == (answer == "streamed")
    assert media_type in documented[response.status_code]["content"]
