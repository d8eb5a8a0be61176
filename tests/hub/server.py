"""A small Hub over HTTP on loopback, which speaks what the real ``huggingface_hub`` client asks for.

It answers with the Hub's own headers (``ETag``, ``X-Repo-Commit``, ``X-Linked-Etag``, ``X-Error-Code``),
sends large files by a redirect and in ranges, and can break off any answer or request in the middle.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.store import HubRefusalError, Repository, Store, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGE = (".safetensors", ".parquet", ".bin", ".pt")
_REPO = r"(?P<repo>[^/]+/[^/]+)"
_KIND = r"(?P<kind>model|dataset)s"
_REV = r"(?P<revision>[^/]+)"


@dataclass
class Fault:
    """Break off what a method and path ask for, after so many bytes of the body, so many times."""

    method: str
    path: str
    after: int
    times: int = 1


@dataclass
class Seen:
    """One request: what was asked, by which token, and for which bytes."""

    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Hub:
    """The server's state, for tests to look at and to change."""

    url: str = ""
    cdn: str = ""  # the same server by another name, as large files are on another host
    store: Store = field(default_factory=lambda: Store({"hf_alice": "alice", "hf_bob": "bob"}))
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    delay: float = 0.0  # seconds before every answer
    html: bool = False  # answer every request by a page, as a network's log-in does
    lock: threading.Lock = field(default_factory=threading.Lock)

    def repository(self, name: str, kind: str = "model") -> Repository:
        return self.store.repositories[kind, name]

    def put(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        private: bool = False,
        gated: bool = False,
        kind: str = "model",
    ) -> Repository:
        """Make a repository by hand, as somebody hostile could."""
        made = self.store.create(kind, name, private, name.partition("/")[0])
        made.gated = gated
        made.change(
            "main", {key: StoredFile(value, _is_large(key)) for key, value in files.items()}, set(), "put"
        )
        return made

    def asked(self, method: str, part: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and part in one.path]

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for one in self.faults:
                if one.method == method and one.path in path and one.times > 0:
                    one.times -= 1
                    return one
        return None


def _is_large(path: str) -> bool:
    return path.endswith(LARGE)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds, so that a mistake ends

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self._token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.seen.append(Seen(self.command, path, self._token, self.headers.get("Range")))
        self._read_body: bytes | None = None
        self._fault: Fault | None = None
        if self.hub.html:
            self._body()
            self._send(200, {"Content-Type": "text/html"}, b"<!doctype html><p>Please log in</p>")
            return
        sleep(self.hub.delay)
        self._fault = self.hub.fault(self.command, path)
        self._user = self.hub.store.users.get(self._token or "")
        try:
            for method, pattern, action in _ROUTES:
                found = re.fullmatch(pattern, path)
                if method == self.command and found:
                    action(self, **found.groupdict())
                    return
            raise HubRefusalError(404, "", f"no such endpoint: {self.command} {path}")
        except HubRefusalError as refusal:
            self._body()
            headers = {"X-Error-Code": refusal.code} if refusal.code else {}
            self._json({"error": str(refusal)}, refusal.status, {**headers, "X-Error-Message": str(refusal)})

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

    # -- answers

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self._fault is not None:
            self.wfile.write(body[: self._fault.after])
            self._break_off()
            return
        self.wfile.write(body)

    def _break_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        """The request's body, read once: to wait for a second one would be to wait for ever."""
        if self._read_body is None:
            self._read_body = self._read_from_wire()
        return self._read_body

    def _read_from_wire(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(length)

    def _read(self) -> Any:
        return json.loads(self._body() or b"{}")

    def _find(self, kind: str, repo: str, *, write: bool = False) -> Repository:
        return self.hub.store.find(kind, repo, self._user, write=write)

    # -- who and what there is

    def whoami(self) -> None:
        if self._user is None:
            raise HubRefusalError(401, "", "Invalid username or password.")
        self._json({"type": "user", "name": self._user, "orgs": [], "auth": {"type": "access_token"}})

    def validate(self) -> None:
        content = self._read()["content"]
        errors = [] if content.startswith("---\n") else [{"message": "metadata is missing"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def create(self) -> None:
        asked = self._read()
        kind = asked.get("type") or "model"
        name = f"{asked.get('organization') or self._user}/{asked['name']}"
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        try:
            self.hub.store.create(kind, name, private, self._user)
            status = 200
        except HubRefusalError as refusal:
            if refusal.status != 409:
                raise
            status = 409
        self._json({"url": f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"}, status)

    def branch(self, kind: str, repo: str, revision: str) -> None:
        start = self._read().get("startingPoint") or "main"
        found = self._find(kind, repo, write=True)
        if revision in found.branches:
            raise HubRefusalError(409, "", f"Reference already exists: {revision}")
        found.branches[revision] = found.commit(start)
        self._json({})

    def info(self, kind: str, repo: str, revision: str = "main") -> None:
        found = self._find(kind, repo)
        commit = found.commit(revision)
        self._json(
            {
                "id": repo,
                "modelId": repo,
                "sha": commit,
                "private": found.private,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "lastModified": "2026-01-01T00:00:00.000Z",
                "siblings": [{"rfilename": name} for name in found.files(commit)],
            }
        )

    def tree(self, kind: str, repo: str, revision: str, folder: str = "") -> None:
        found = self._find(kind, repo)
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in (
            "true",
            "1",
        )
        folder = folder.strip("/")
        start = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for name, file in found.files(revision).items():
            if not name.startswith(start):
                continue
            parts = name.removeprefix(start).split("/")
            for depth in range(1, len(parts)):
                inner = start + "/".join(parts[:depth])
                if recursive or depth == 1:
                    entries[inner] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": inner}
            if recursive or len(parts) == 1:
                entries[name] = _entry(name, file)
        if folder and not entries:
            raise HubRefusalError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        self._json(list(entries.values()))

    def paths(self, kind: str, repo: str, revision: str) -> None:
        body = self._body().decode()
        if self.headers.get("Content-Type", "").startswith("application/json"):
            wanted = json.loads(body)["paths"]
        else:
            wanted = parse_qs(body).get("paths", [])
        files = self._find(kind, repo).files(revision)
        entries = [_entry(name, files[name]) for name in wanted if name in files]
        entries += [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            for folder in wanted
            if folder not in files and any(name.startswith(f"{folder}/") for name in files)
        ]
        self._json(entries)

    # -- files

    def resolve(self, repo: str, revision: str, path: str, kind: str = "model") -> None:
        found = self._find(kind, repo)
        if found.gated:
            told = "Access to this repository is restricted, and you are not in the authorized list"
            raise HubRefusalError(401 if self._user is None else 403, "GatedRepo", told)
        commit = found.commit(revision)
        file = found.files(commit).get(path)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if file is None:
            raise HubRefusalError(404, "EntryNotFound", f"Entry not found: {path}")
        if file.large:
            headers |= {
                "X-Linked-Etag": f'"{file.etag}"',
                "X-Linked-Size": str(file.size),
                "Location": f"{self.hub.cdn}/cdn/{kind}/{repo}/{file.sha256}",
            }
            self._send(302, headers, b"")
            return
        self._content(file, headers)

    def cdn(self, kind: str, repo: str, oid: str) -> None:
        """As on the Hub, the address itself is the permission."""
        files = self.hub.repository(repo, kind).commits.values()
        found = next(file for each in files for file in each.values() if file.large and file.sha256 == oid)
        self._content(found, {"Accept-Ranges": "bytes"})

    def _content(self, file: StoredFile, headers: dict[str, str]) -> None:
        headers = {"ETag": f'"{file.etag}"', **headers}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            self._send(200, {**headers, "Content-Length": str(file.size)}, file.content)
            return
        first = int(asked[1])
        last = min(int(asked[2]) if asked[2] else file.size - 1, file.size - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
        self._send(206, headers, file.content[first : last + 1])

    # -- uploads

    def preupload(self, kind: str, repo: str, revision: str) -> None:
        files = self._find(kind, repo, write=True).files(revision)
        answer = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if _is_large(one["path"]) else "regular",
                "shouldIgnore": False,
                "oid": files[one["path"]].etag if one["path"] in files else None,
            }
            for one in self._read()["files"]
        ]
        self._json({"files": answer})

    def batch(self, repo: str, kind: str = "model") -> None:
        found = self._find(kind, repo, write=True)
        objects = []
        for one in self._read()["objects"]:
            answer = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in found.large:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/upload/{kind}/{repo}/{one['oid']}"}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, kind: str, repo: str, oid: str) -> None:
        if self._fault is not None:
            self.rfile.read(self._fault.after)
            self._break_off()
            return
        content = self._body()
        if StoredFile(content).sha256 != oid:
            raise HubRefusalError(400, "", "the content is not that of its SHA-256")
        self.hub.repository(repo, kind).large[oid] = content
        self._send(200, {"ETag": f'"{oid}"'}, b"")

    def commit(self, kind: str, repo: str, revision: str) -> None:
        found = self._find(kind, repo, write=True)
        added: dict[str, StoredFile] = {}
        deleted: set[str] = set()
        message = ""
        for line in self._body().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                added[value["path"]] = StoredFile(base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                if value["oid"] not in found.large:
                    raise HubRefusalError(400, "", f"{value['path']} was never uploaded")
                added[value["path"]] = StoredFile(found.large[value["oid"]], large=True)
            elif item["key"] == "deletedFile":
                deleted.add(value["path"])
            else:
                raise HubRefusalError(400, "", f"unknown operation {item['key']}")
        commit = found.change(revision, added, deleted, message)
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "commitOid": commit})

    def log_message(self, *_arguments: object) -> None:
        pass


def _entry(path: str, file: StoredFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": path}
    if file.large:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


_API = rf"/api/{_KIND}/{_REPO}"
_PREFIX = r"(?:/(?P<kind>dataset)s)?"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", rf"{_API}/branch/{_REV}", _Handler.branch),
    ("POST", rf"{_API}/preupload/{_REV}", _Handler.preupload),
    ("POST", rf"{_API}/commit/{_REV}", _Handler.commit),
    ("POST", rf"{_API}/paths-info/{_REV}", _Handler.paths),
    ("GET", rf"{_API}/tree/{_REV}(?P<folder>(?:/.*)?)", _Handler.tree),
    ("GET", rf"{_API}/revision/{_REV}", _Handler.info),
    ("GET", _API, _Handler.info),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    ("POST", rf"/(?P<kind>dataset)s/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", rf"/upload/(?P<kind>\w+)/{_REPO}/(?P<oid>\w+)", _Handler.upload),
    *(
        (method, pattern, action)
        for method in ("GET", "HEAD")
        for pattern, action in (
            (rf"/cdn/(?P<kind>\w+)/{_REPO}/(?P<oid>\w+)", _Handler.cdn),
            (rf"/(?P<kind>dataset)s/{_REPO}/resolve/{_REV}/(?P<path>.+)", _Handler.resolve),
            (rf"/{_REPO}/resolve/{_REV}/(?P<path>.+)", _Handler.resolve),
        )
    ),
]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a Hub on a free port of loopback until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.url, hub.cdn = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
