"""The development server: `python -m config.dev_server 127.0.0.1 8000`, as `make run` starts it."""

import argparse
import contextlib
import socket
import sys

import uvicorn


class Server(uvicorn.Server):
    """Uvicorn's server, which prints its address once it accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            port = self.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(f"Serving on http://{host}:{port}/ (stop with Ctrl-C)\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until stopped; exits with 1 when the address cannot be bound."""
    parser = argparse.ArgumentParser(prog="config.dev_server")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    server = Server(
        uvicorn.Config(
            "config.asgi:application",
            host=arguments.address,
            port=arguments.port,
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
    )
    with contextlib.suppress(KeyboardInterrupt, SystemExit):  # uvicorn's own exit status differs
        server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
