"""The door of the page's server: who may come in, with how much, and to which rooms.

A page on loopback is open to every other page of the same browser unless the server looks: a foreign page
can send forms to it (CSRF), or have its own name resolve to 127.0.0.1 and read the answers (DNS rebinding).
So the ``Host`` must be an address or a name of this machine, the ``Origin`` the page itself, and a browser
that says where a request comes from (``Sec-Fetch-Site``) must say: from here.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

_COOKIE = "fmbseg_app"
_ENTER = "/enter"
_WRONG_WAITS = 0.5  # seconds, so that tokens cannot be tried by the thousand
_ROOMS = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/[^.][\w./-]*"
    r"|/gradio_api/(upload|upload_progress|heartbeat/\w+|startup-events|queue/(join|data)|cancel|reset"
    r"|component_server|file=.+|custom_component/.+|info|app_id)/?"
)
"""What the page itself asks for; Gradio answers more (a proxy, logins, APIs), which nobody needs here."""
_TAKES_FILES = re.compile(r"/gradio_api/(queue/join|component_server)/?")
_UPLOAD = re.compile(r"/gradio_api/upload/?")
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""A browser asks nobody else for anything, whatever stands in the page."""
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=()",
}
_SANDBOX = b"default-src 'none'; sandbox"  # of files: a picture with a script in it stays a picture


@dataclass(frozen=True)
class Limits:
    """How much a browser may send.

    Args:
        upload: bytes of an upload.
        body: bytes of any other request.
        uploads_at_once: further ones are refused.
        kept: bytes of the temporary folder; an upload beyond them is refused until old files are removed.
    """

    upload: int = 64 * 2**20
    body: int = 16 * 2**20
    uploads_at_once: int = 4
    kept: int = 2 * 2**30


class _TooLargeError(Exception):
    """A body that is larger than allowed."""


class _RefusedError(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        why: one line.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """Lets in only what the page itself asks.

    Args:
        app: the page.
        host: that the server listens on.
        token: that a browser must know; None on loopback.
        temporary: folder of uploads.
        limits: of what is sent.
    """

    def __init__(
        self, app: AsgiApp, *, host: str, token: str | None, temporary: Path, limits: Limits | None = None
    ) -> None:
        self._app, self._host, self._token = app, host, token
        self._temporary, self._limits = temporary, limits or Limits()
        self._uploads = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            headers = _headers_of(scope)
            self._check_origin(scope, headers)
            if self._token is not None and not self._knows(headers):
                await self._ask_for_token(scope, receive, send)
                return
            await self._enter(scope, headers, receive, send)
        except _RefusedError as refused:
            await _answer(send, refused.status, f"{refused}\n", "text/plain")

    def _check_origin(self, scope: Message, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_own(host):
            raise _RefusedError(421, "this page answers to addresses and names of its own machine only")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and urlsplit(origin).netloc != host:
            raise _RefusedError(403, "a request of another page")
        # A link from elsewhere may lead here; nothing else of another site may.
        linked = headers.get("sec-fetch-mode") == "navigate" and (scope["method"], scope["path"]) == (
            "GET",
            "/",
        )
        if site not in ("same-origin", "none") and not linked:
            raise _RefusedError(403, "a request of another site")

    def _is_own(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if is_loopback(self._host):
            return is_loopback(name)
        return is_loopback(name) or _is_address(name) or name in (self._host, socket.gethostname().lower())

    def _knows(self, headers: dict[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())

    async def _ask_for_token(self, scope: Message, receive: Receive, send: Send) -> None:
        """A form that asks for the token, or, where it comes in the address, the way in without it there."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == _ENTER and scope["method"] == "POST":
            body = await _body(receive, 2**12)
            given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if given and self._is_token(given):
            cookie = f"{_COOKIE}={given}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", "text/plain", {"location": "/", "set-cookie": cookie})
            return
        if given:
            await asyncio.sleep(_WRONG_WAITS)
        await _answer(send, 401, _form("That is not the token." if given else ""), "text/html; charset=utf-8")

    async def _enter(self, scope: Message, headers: dict[str, str], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not _ROOMS.fullmatch(path) or ".." in path.split("/"):
            raise _RefusedError(404, "there is nothing here")
        upload = bool(_UPLOAD.fullmatch(path))
        most = self._limits.upload if upload else self._limits.body
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise _RefusedError(413, f"more than {most // 2**20} MB")
        if upload:
            if self._uploads >= self._limits.uploads_at_once:
                raise _RefusedError(
                    429, f"more than {self._limits.uploads_at_once} uploads at once: try again"
                )
            if _bytes_in(self._temporary) + int(length) > self._limits.kept:
                raise _RefusedError(507, "the folder for uploads is full: try again in an hour")
        if _TAKES_FILES.fullmatch(path):
            body = await _body(receive, most)
            self._check_files(body)
            receive = _again(body, receive)
        self._uploads += upload
        try:
            await self._let_in(scope, receive, send, most)
        finally:
            self._uploads -= upload

    def _check_files(self, body: bytes) -> None:
        """Refuse files that were not uploaded: Gradio's own check is off in servers of others."""
        try:
            sent = json.loads(body or b"{}")
        except ValueError:
            raise _RefusedError(400, "not JSON") from None
        for path in _paths_in(sent):
            if not Path(path).resolve().is_relative_to(self._temporary):
                raise _RefusedError(403, "a file that was not uploaded here")

    async def _let_in(self, scope: Message, receive: Receive, send: Send, most: int) -> None:
        started, refused, taken = False, False, 0
        policy = _SANDBOX if "/file=" in scope["path"] else _HEADERS[b"content-security-policy"]

        async def counted() -> Message:
            nonlocal refused, taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                if not started:
                    await _answer(send, 413, f"more than {most // 2**20} MB\n", "text/plain")
                refused = True
                raise _TooLargeError
            return message

        async def headed(message: Message) -> None:
            nonlocal started
            if refused:  # what the page has to say of it comes too late
                return
            if message["type"] == "http.response.start":
                started = True
                own = {**_HEADERS, b"content-security-policy": policy}
                kept = [
                    (name, value)
                    for name, value in message["headers"]
                    if name.lower() not in own and not name.lower().startswith(b"access-control-")
                ]
                message = {**message, "headers": [*kept, *own.items()]}
            await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, headed)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which no other machine reaches.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "evil.example")]
        [True, True, True, False, False]
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _headers_of(scope: Message) -> dict[str, str]:
    """The headers by name; a Host or Origin that stands twice is none."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1").lower()
        if text in found and text in ("host", "origin", "content-length"):
            raise _RefusedError(400, f"two headers {text}")
        found[text] = value.decode("latin-1")
    return found


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _paths_in(value: object) -> Iterator[str]:
    """The paths of all files that a JSON value names."""
    if isinstance(value, dict):
        path = value.get("path")
        if path is not None:
            yield str(path)
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _paths_in(one)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then what follows it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return first.pop() if first else await receive()

    return read


async def _body(receive: Receive, most: int) -> bytes:
    body: bytes = b""
    while len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body
    raise _RefusedError(413, "too long")


async def _answer(
    send: Send, status: int, text: str, kind: str, headers: dict[str, str] | None = None
) -> None:
    content = text.encode()
    told = {"content-type": kind, "content-length": str(len(content)), **(headers or {})}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*pairs, *_HEADERS.items()]})
    await send({"type": "http.response.body", "body": content})


def _form(told: str) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>fmbseg</title><body style='font:1rem system-ui;margin:3rem auto;max-width:24rem'>"
        f"<h1>fmbseg</h1><form method=post action={_ENTER}><label for=token>Token</label><br>"
        "<input id=token name=token type=password autofocus required style='font:inherit;width:100%'>"
        f"<p role=alert>{escape(told)}</p><button style='font:inherit'>Enter</button></form>"
    )
