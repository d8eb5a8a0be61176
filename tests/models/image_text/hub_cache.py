"""A Hub cache made by hand, as the Hub's client would have left it."""

from pathlib import Path

COMMIT = "0123456789012345678901234567890123456789"


def put_in_cache(cache: Path, repository: str, source: Path, *, revision: str = "main") -> None:
    """Copy a folder's files into the cache as the repository at a revision."""
    home = cache / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / revision).write_text(COMMIT)
    for file in source.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
