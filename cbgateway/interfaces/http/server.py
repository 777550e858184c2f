"""The server: uvicorn in the event loop that dispatches, beginning and ending with it."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from loguru import logger

from cbgateway.domain.errors import ConfigurationError
from cbgateway.interfaces.http.application import make_app
from cbgateway.interfaces.http.backend import Backend
from cbgateway.interfaces.http.limits import (
    CONNECTIONS_MAX,
    HEAD_OCTETS_MAX,
    KEEP_ALIVE_S,
    SHUTDOWN_TIMEOUT_S,
)
from cbgateway.interfaces.http.protocol import LimitedProtocol


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, before anybody is served on it.

    Attributes:
        address: host and port, as clients name them.
        certificate: in PEM; None for no TLS.
        private_key: of the certificate.
    """

    socket: socket.socket
    address: str
    certificate: Path | None = None
    private_key: Path | None = None


def listen(
    host: str, port: int, *, certificate: Path | None = None, private_key: Path | None = None
) -> Listening:
    """Open the port; with port 0 the system chooses one.

    Raises:
        ConfigurationError: somebody else has it, or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named, or asyncio would leave answers to Nagle's algorithm: 40 ms each
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(CONNECTIONS_MAX)
    except OSError as error:
        listener.close()
        msg = f"http: cannot listen on {host}:{port}: {error.strerror}"
        raise ConfigurationError(msg) from error
    shown = f"[{host}]" if ":" in host else host
    return Listening(listener, f"{shown}:{listener.getsockname()[1]}", certificate, private_key)


async def serve(backend: Backend, listening: Listening) -> None:
    """Serve until the backend says stop; answers under way are given first.

    Raises:
        ConfigurationError: certificate or key cannot be used.
    """
    _forward_log()
    config = uvicorn.Config(
        make_app(backend),
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        h11_max_incomplete_event_size=HEAD_OCTETS_MAX,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.private_key,
    )
    try:
        config.load()
    except OSError as error:  # ssl's errors are some, too
        listening.socket.close()
        msg = f"http: certificate or key cannot be used: {error}"
        raise ConfigurationError(msg) from error
    server = _Server(config)
    stopping = asyncio.create_task(_stop(server, backend.stop))
    try:
        await server.serve(sockets=[listening.socket])
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        listening.socket.close()


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: whoever serves the gateway has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _stop(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


class _Forward(logging.Handler):
    """Has what uvicorn says in the gateway's own log, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.bind(source=record.name).log(record.levelname, "{}", record.getMessage())


def _forward_log() -> None:
    for name in ("uvicorn.error", "uvicorn.asgi"):
        one = logging.getLogger(name)
        one.handlers = [_Forward()]
        one.propagate = False
