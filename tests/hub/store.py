"""Repositories in memory: commits, branches, large files; what a Hub keeps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


class HubRefusalError(Exception):
    """What the server answers instead: a status, the Hub's code for it, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit; ``large`` files are kept by their SHA-256, as git-lfs does."""

    content: bytes
    large: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        """What git calls the file, or its pointer."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        content = pointer.encode() if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass
class Repository:
    """One repository: every commit with all its files, and branches that point to commits."""

    name: str
    kind: str
    private: bool
    gated: bool = False  # its files are for those whom the owner has granted access; its listing is for all
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._add({}, "main", "initial commit")

    def files(self, revision: str) -> dict[str, StoredFile]:
        return self.commits[self.commit(revision)]

    def commit(self, revision: str) -> str:
        found = self.branches.get(revision, revision)
        if found not in self.commits:
            raise HubRefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def change(self, branch: str, added: dict[str, StoredFile], deleted: set[str], message: str) -> str:
        if branch not in self.branches:
            raise HubRefusalError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        kept = {name: file for name, file in self.files(branch).items() if name not in deleted}
        return self._add({**kept, **added}, branch, message)

    def _add(self, files: dict[str, StoredFile], branch: str, message: str) -> str:
        told = f"{self.name} {len(self.commits)} {message} {sorted((n, f.etag) for n, f in files.items())}"
        commit = hashlib.sha1(told.encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        self.messages.append(message)
        return commit


@dataclass
class Store:
    """All repositories and users; ``users`` maps tokens to names."""

    users: dict[str, str]
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)

    def create(self, kind: str, name: str, private: bool, user: str | None) -> Repository:
        if user is None:
            raise HubRefusalError(401, "", "Invalid username or password.")
        if name.partition("/")[0] != user:
            raise HubRefusalError(
                403, "", f"You don't have the rights to create a {kind} under that namespace"
            )
        if (kind, name) in self.repositories:
            raise HubRefusalError(409, "", f"You already created this {kind} repo")
        made = self.repositories[kind, name] = Repository(name, kind, private)
        return made

    def find(self, kind: str, name: str, user: str | None, *, write: bool = False) -> Repository:
        found = self.repositories.get((kind, name))
        owner = name.partition("/")[0]
        if found is None or (found.private and user != owner):
            # A private repository must look as if there were none.
            status = 401 if user is None else 404
            raise HubRefusalError(status, "RepoNotFound", "Repository not found")
        if write and user != owner:
            raise HubRefusalError(403 if user else 401, "", "You don't have write access")
        return found
