"""Traces of model requests, as a collector of OpenTelemetry receives them."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.model_server import ModelServer, served_model
from tests.serving import ROOT

_ANSWER = """
import asyncio
import django
django.setup()
from agents_app.agents import SimpleAgent
print(asyncio.run(SimpleAgent({"name": "helper"}).answer("Hello")).text)
"""


class Collector:
    """What was exported to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""


@contextmanager
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        found.spans += scope.spans
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(model: ModelServer, **environment: str) -> str:
    """Have an agent answer in a separate process, run as the README says."""
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    return subprocess.run(
        [instrument, sys.executable, "-c", _ANSWER],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": "on",
            "AGENT_MODEL": "openai:served",
            "AGENT_BASE_URL": model.base_url,
            **environment,
        },
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout


def test_model_requests_are_traced_when_there_is_a_collector() -> None:
    with served_model(ModelServer()) as model, collector() as found:
        said = answer(
            model,
            OTEL_EXPORTER_OTLP_ENDPOINT=found.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
    assert said == "Hello\n"
    request = next(span for span in found.spans if span.name == "chat served")
    run = next(span for span in found.spans if span.span_id == request.parent_span_id)
    assert "helper" in run.name
    attributes = {attribute.key: attribute.value for attribute in request.attributes}
    assert attributes["gen_ai.request.model"].string_value == "served"
    assert attributes["gen_ai.usage.input_tokens"].int_value == 5
    assert attributes["gen_ai.usage.output_tokens"].int_value == 2
