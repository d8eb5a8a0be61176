"""The server of the page: on this machine alone, unless a host and a token are given."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fmbseg.app.guard import Guard, Limits, is_loopback
from fmbseg.missing_package import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fmbseg.app.place import Place

LEAST_TOKEN = 8
"""Characters of a token."""
_STARTS_WITHIN = 60.0  # seconds
_FOLDER, _SECRET = "GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"


@dataclass(frozen=True)
class AppServer:
    """A server that answers.

    Attributes:
        url: of the page; with the token, if there is one.
        temporary: folder of uploads and pictures, removed when the server stops.
    """

    url: str
    temporary: Path


def check_open(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token.

    Raises:
        ValueError: the host is reached by others, and there is no token; or a token that is too short.

    Example:
        >>> check_open("0.0.0.0", None)
        Traceback (most recent call last):
        ...
        ValueError: --host 0.0.0.0 lets other machines in: give a --page-token of 8 or more characters, ...
    """
    if token is None and not is_loopback(host):
        raise ValueError(
            f"--host {host} lets other machines in: give a --page-token of {LEAST_TOKEN} or more characters, "
            "or in the environment as FMBSEG_APP_TOKEN, which others on this machine do not see"
        )
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum()):
        raise ValueError(f"the token must have {LEAST_TOKEN} or more letters and digits")


@contextmanager
def serve(
    place: Place,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    limits: Limits | None = None,
) -> Iterator[AppServer]:
    """Serve the page until the block ends.

    Args:
        place: what the page works with.
        host: to listen on.
        port: to listen on; 0 for one that is free.
        token: that browsers must know.
        limits: of what they send.

    Raises:
        ValueError: see :func:`check_open`.
        MissingPackageError: Gradio is not installed.
        OSError: the port is taken.
    """
    check_open(host, token)
    uvicorn = require("uvicorn", "app", "fmbseg app")
    with _socket(host, port) as listening, tempfile.TemporaryDirectory(prefix="fmbseg-app-") as folder:
        temporary = Path(folder).resolve()
        with _environment({_FOLDER: str(temporary), _SECRET: "False"}):
            app = Guard(
                _page(place, limits or Limits()), host=host, token=token, temporary=temporary, limits=limits
            )
            config = uvicorn.Config(app, log_level="critical", access_log=False)
            server = uvicorn.Server(config)
            thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            try:
                _wait(server, thread)
                yield AppServer(_url(host, listening.getsockname()[1], token), temporary)
            finally:
                server.should_exit = server.force_exit = True  # heartbeats of open pages never end
                thread.join(timeout=10)
                place.close()


def _page(place: Place, limits: Limits) -> Any:
    from fmbseg.app.page import build_page, mounted

    return mounted(build_page(place), most_bytes=limits.upload)


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise OSError(
            error.errno, f"{host}:{port} cannot be listened on ({error.strerror}): take another --port"
        ) from error
    return made


def _url(host: str, port: int, token: str | None) -> str:
    everywhere = host.strip("0:.") == ""  # 0.0.0.0 or ::
    shown = socket.gethostname() if everywhere else host
    name = f"[{shown}]" if ":" in shown else shown
    return f"http://{name}:{port}/" + (f"?token={quote(token)}" if token else "")


def _wait(server: Any, thread: Thread) -> None:
    until = monotonic() + _STARTS_WITHIN
    while not server.started:
        if not thread.is_alive() or monotonic() > until:
            raise RuntimeError("the server did not start; its own message stands above")
        sleep(0.02)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Gradio reads where to keep files, and whether to tell of itself, from the environment."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
