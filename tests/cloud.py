"""An S3 server over HTTP on this machine, and a proxy before it that fails as real networks do."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "not-a-real-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # fmbseg's own retries are tested, without botocore's waiting
}
"""What a process needs in order to find the server, but for its address, ``AWS_ENDPOINT_URL``."""
_numbers = count()


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server.

    Args:
        name: of the bucket.
        client: of boto3.
        endpoint: address of the server.
    """

    name: str
    client: Any
    endpoint: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    def put(self, name: str, content: bytes) -> str:
        """Write an object; returns its URI."""
        self.client.put_object(Bucket=self.name, Key=name, Body=content)
        return f"{self.uri}/{name}"

    def get(self, name: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=name)["Body"].read()
        return content

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address; it is made when the first test asks for it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new, empty bucket; this process and those that it starts find the server by their environment."""
    import boto3

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    point_to(s3_server, monkeypatch)
    client = boto3.client("s3", endpoint_url=s3_server)
    made = Bucket(f"fmbseg-{next(_numbers)}", client, s3_server)
    client.create_bucket(Bucket=made.name)
    return made


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let S3 be at an address, for clients that are made from now on."""
    from s3fs import S3FileSystem

    from fmbseg.storage import forget

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    S3FileSystem.clear_instance_cache()
    forget()


@contextmanager
def only(bucket: Bucket, *actions: str) -> Iterator[None]:
    """Go on as a user who may do these things with buckets and no others; the server refuses the rest."""
    import boto3
    from moto import settings

    iam, name = boto3.client("iam", endpoint_url=bucket.endpoint), f"user-{next(_numbers)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        point_to(bucket.endpoint, patch)
        yield
    with pytest.MonkeyPatch.context() as patch:
        point_to(bucket.endpoint, patch)  # clients of the one before again


@dataclass
class Faults:
    """What a proxy does to requests; each is drawn anew.

    Args:
        errors: share that is answered by 500, 503 or 429.
        cut: share of bodies that break off half-way.
        short: share of bodies that are half as long and say so: only the object's size tells.
        delay: seconds before each answer.
        only: methods that faults happen to.
        seed: of the draws.
    """

    errors: float = 0.0
    cut: float = 0.0
    short: float = 0.0
    delay: float = 0.0
    only: tuple[str, ...] = ("GET", "PUT", "HEAD")
    seed: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def draw(self, method: str) -> str:
        """What happens to a request: "error", "cut", "short" or "pass"."""
        with self._lock:
            place = self._random.random()
            kinds = (("error", self.errors), ("cut", self.cut), ("short", self.short))
            drawn = "pass"
            for kind, share in kinds if method in self.only else ():
                if place < share:
                    drawn = kind
                    break
                place -= share
            self.counts[drawn] = self.counts.get(drawn, 0) + 1
            return drawn

    def status(self) -> int:
        with self._lock:
            return self._random.choice([500, 503, 429])


class _Proxy(BaseHTTPRequestHandler):
    """Passes requests on, and does to answers what its server's faults say."""

    protocol_version = "HTTP/1.1"
    server: _ProxyServer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every method
            return self.forward
        raise AttributeError(name)

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults = self.server.faults
        time.sleep(faults.delay)
        drawn = faults.draw(self.command)
        if drawn == "error":
            self.answer(faults.status(), {}, b"")
            return
        connection = HTTPConnection(self.server.place, timeout=20)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
        finally:
            connection.close()
        # Only objects: of a list cut short, the client says that it is no XML, whatever it was.
        if drawn == "pass" or len(content) < 2 or "xml" in headers.get("Content-Type", ""):
            self.answer(answer.status, headers, content)
        elif drawn == "short":
            headers.pop("Content-Range", None)
            self.answer(answer.status, headers, content[: len(content) // 2])
        else:
            self.answer(answer.status, headers, content[: len(content) // 2], said=len(content))

    def answer(self, status: int, headers: dict[str, str], content: bytes, said: int | None = None) -> None:
        """Send an answer, whose body breaks off where it is shorter than is ``said``."""
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = len(content) if said is None else said
        if self.command == "HEAD":
            length = int(headers.get("Content-Length", "0"))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)
        if said is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _ProxyServer(ThreadingHTTPServer):
    def __init__(self, endpoint: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Proxy)
        self.place, self.faults = urlsplit(endpoint).netloc, faults


@contextmanager
def unreliable(bucket: Bucket, faults: Faults) -> Iterator[str]:
    """The address of a proxy before a bucket's server, for :func:`point_to`; faults may change meanwhile."""
    server = _ProxyServer(bucket.endpoint, faults)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
