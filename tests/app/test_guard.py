"""The door of the server: asked over plain HTTP, as a page elsewhere, or a program, would."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from fmbseg.app.guard import Guard, Limits, Message
from fmbseg.app.server import AppServer, check_open

if TYPE_CHECKING:
    from pathlib import Path


def ask(
    server: AppServer, path: str, method: str = "GET", body: Any = None, **headers: Any
) -> tuple[int, bytes]:
    """Status and body of an answer; ``Sec_Fetch_Site`` stands for ``Sec-Fetch-Site``."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def alive(server: AppServer) -> bool:
    return ask(server, "/")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "10.0.0.1", ""])
def test_a_name_that_was_bent_to_this_machine_is_refused(server: AppServer, host: str) -> None:
    assert ask(server, "/", Host=host)[0] == 421
    assert ask(server, "/config", Host=host)[0] == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_requests_of_other_pages_are_refused(server: AppServer, headers: dict[str, str]) -> None:
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "x"}).encode()
    for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
        assert ask(server, path, "POST", body, **headers)[0] == 403
    assert ask(server, "/config", **headers)[0] == 403


def test_a_link_from_elsewhere_may_lead_to_the_page_alone(server: AppServer) -> None:
    linked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(server, "/", **linked)[0] == 200
    assert ask(server, "/config", **linked)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file=" + quote(__file__),
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/run/predict",
        "/monitoring",
        "/login",
    ],
)
def test_no_file_and_no_room_beyond_the_page(server: AppServer, path: str) -> None:
    status, body = ask(server, path)
    assert status >= 400
    assert b"root:" not in body
    assert b"def test_" not in body


def test_a_file_named_in_a_request_is_not_read(server: AppServer, photograph: Path) -> None:
    """What a component is sent names a file or an address: neither leads out of the uploads."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.5)
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/cat.png"
        config = json.loads(ask(server, "/config")[1])
        ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
        takes = [one for one in config["dependencies"] if one["inputs"][-1:] == [ids["segment-photograph"]]]
        for path in (str(photograph), "/etc/passwd", url):
            sent = {"path": path, "meta": {"_type": "gradio.FileData"}, "url": path}
            told = {"data": [None, sent], "fn_index": takes[0]["id"], "session_hash": "abc"}
            join = "/gradio_api/queue/join"
            body = json.dumps(told).encode()
            assert ask(server, join, "POST", body, Content_Type="application/json")[0] == 403
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def multipart(size: int, name: str = "a.png") -> tuple[bytes, dict[str, str]]:
    start = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = start + bytes(size) + b"\r\n--x--\r\n"
    return body, {"Content_Type": "multipart/form-data; boundary=x"}


def test_200_megabytes_are_refused_before_they_are_taken(server: AppServer) -> None:
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as door:
        door.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 209715200\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        assert door.recv(64).startswith(b"HTTP/1.1 413")
    assert alive(server)


def test_a_body_of_no_stated_length_is_cut_off(server: AppServer) -> None:
    where = urlsplit(server.url)
    start = multipart(0)[0].partition(b"\r\n--x--")[0]
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (start, bytes(2**20))]
    with socket.create_connection((where.hostname, where.port), timeout=30) as door:
        door.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + chunks[0]
        )
        for _ in range(66):  # two megabytes more than are allowed
            door.sendall(chunks[1])
        assert door.recv(64).startswith(b"HTTP/1.1 413")
    assert alive(server)
    assert not [
        path for path in server.temporary.rglob("*") if path.is_file() and path.stat().st_size > 2**26
    ]


def test_of_forty_uploads_at_once_most_are_refused(server: AppServer) -> None:
    body, headers = multipart(2**18)
    where = urlsplit(server.url)

    def slowly(_: int) -> int:
        with socket.create_connection((where.hostname, where.port), timeout=60) as door:
            head = (
                f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: {headers['Content_Type']}\r\nConnection: close\r\n\r\n"
            )
            door.sendall(head.encode() + body[:1000])
            together.wait()
            try:
                door.sendall(body[1000:])
                return int(door.recv(64).split()[1])
            except OSError:
                return 429

    together = Barrier(40)
    with ThreadPoolExecutor(40) as many:
        answers = list(many.map(slowly, range(40)))
    assert answers.count(200) <= 4 < answers.count(429)
    assert set(answers) <= {200, 429}
    assert ask(server, "/gradio_api/upload", "POST", body, **headers)[0] == 200
    assert alive(server)


def test_other_machines_need_a_token() -> None:
    check_open("127.0.0.1", None)
    check_open("0.0.0.0", "longenough1")
    for host, token in (("0.0.0.0", None), ("::", None), ("192.168.1.2", None), ("0.0.0.0", "short")):
        with pytest.raises(ValueError, match="token"):
            check_open(host, token)


async def _page(scope: Message, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b"page"})  # type: ignore[operator]


def through(
    guard: Guard, path: str, *headers: tuple[str, str], query: str = ""
) -> tuple[int, dict[str, str]]:
    """Status and headers of what a guard answers."""
    import asyncio

    heard: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        heard.append(message)

    scope: Message = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(guard(scope, receive, send))
    told = {name.decode().lower(): value.decode() for name, value in heard[0]["headers"]}
    return int(heard[0]["status"]), told


def test_the_token_opens_the_page_and_nothing_else_does(tmp_path: Path) -> None:
    guard = Guard(_page, host="0.0.0.0", token="correcthorse1", temporary=tmp_path)
    host = ("host", "192.168.1.2:7860")
    assert through(guard, "/", host)[0] == 401
    assert through(guard, "/config", host)[0] == 401
    assert through(guard, "/", host, query="token=wrong")[0] == 401
    assert through(guard, "/", host, ("cookie", "fmbseg_app=wrong"))[0] == 401
    status, told = through(guard, "/", host, query="token=correcthorse1")
    assert (status, told["location"]) == (303, "/")
    assert "HttpOnly" in told["set-cookie"]
    assert "SameSite=Strict" in told["set-cookie"]
    cookie = ("cookie", told["set-cookie"].partition(";")[0])
    assert through(guard, "/", host, cookie)[0] == 200
    assert through(guard, "/", ("host", "evil.example"), cookie)[0] == 421


def test_a_full_folder_takes_no_more(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(bytes(900))
    guard = Guard(_page, host="127.0.0.1", token=None, temporary=tmp_path, limits=Limits(kept=1000))
    host = ("host", "localhost")
    assert through(guard, "/gradio_api/upload", host, ("content-length", "101"))[0] == 507
    assert through(guard, "/gradio_api/upload", host, ("content-length", "100"))[0] == 200
