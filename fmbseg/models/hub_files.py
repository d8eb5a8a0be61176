"""Files of a model from the Hub, its cache or a local folder; one error says how to get them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.models.assets import AssetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class HubOptions:
    """How files are looked for; every loader of hub models takes these by keyword.

    Args:
        revision: branch, tag or commit; ``None`` is the repository's main branch.
        cache_dir: of the files; ``None`` is the Hub client's own.
        local_files_only: never use the network (``HF_HUB_OFFLINE=1`` does the same).
        token: for private or gated repositories; ``None`` is the one of the Hub client's log-in.
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = None


def hub_folder(
    repo: str,
    files: Sequence[str],
    options: HubOptions,
    *,
    optional: Sequence[str] = (),
    alternative: str = "",
    licence: str = "",
) -> Path:
    """Return a folder that holds ``files`` of a Hub repository, fetched if need be.

    What is in the cache is used as it is, without asking the Hub whether its branch has moved: pass another
    ``revision``, or let the Hub's client fetch (`hf download`), to get a newer one.

    Args:
        repo: ``owner/name``.
        files: names or patterns of the files wanted, for example ``"config.json"``, ``"*.safetensors"``; of
            each there must be one.
        options: how to look for them.
        optional: files that are fetched with the others, but that a repository need not have.
        alternative: for a gated repository, the spec of a model that anyone may use instead.
        licence: for a repository known to be gated, the name of its licence.

    Raises:
        AssetUnavailableError: they are neither in the cache nor to be had; the message names the repository,
            the files and what can be done.
        ValueError: ``repo`` is not the name of a repository.
    """
    cached = cached_folder(repo, files, options)
    if cached is not None:
        return cached
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = _snapshot(repo, [*files, *optional], options, local_files_only=options.local_files_only)
    except GatedRepoError as error:
        raise AssetUnavailableError(_gated(repo, licence, alternative)) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = _unavailable(repo, files, options, reason)
        if licence:
            message = f"{message}. {_gated(repo, licence, alternative)}"
        raise AssetUnavailableError(message) from error
    absent = _absent(found, files)
    if absent:
        raise AssetUnavailableError(
            _unavailable(repo, absent, options, f"{found} is there without {', '.join(absent)}")
        )
    return found


def hub_folder_of(
    repo: str,
    files: Sequence[str],
    choices: Sequence[str],
    options: HubOptions,
    *,
    optional: Sequence[str] = (),
    alternative: str = "",
    licence: str = "",
) -> Path:
    """Return a folder that holds ``files`` and one of ``choices``; only that one is fetched.

    Args:
        repo: ``owner/name``.
        files: that the repository must have, beside one of the choices.
        choices: names or patterns, the best first, for example safetensors before pickles.
        options: how to look for them.
        optional: see :func:`hub_folder`.
        alternative: likewise.
        licence: likewise.

    Raises:
        AssetUnavailableError: as :func:`hub_folder` raises it for the first choice.
    """
    for choice in choices:
        if (cached := cached_folder(repo, (*files, choice), options)) is not None:
            return cached
    first: AssetUnavailableError | None = None
    for choice in choices:
        try:
            return hub_folder(
                repo,
                (*files, choice),
                options,
                optional=optional,
                alternative=alternative,
                licence=licence,
            )
        except AssetUnavailableError as error:  # noqa: PERF203 - what is missing decides what is tried next
            first = first or error
            if cached_folder(repo, files, options) is None:
                break  # the repository was not reached: there is no use in asking again
    assert first is not None
    raise first


def cached_folder(repo: str, files: Sequence[str], options: HubOptions) -> Path | None:
    """Return the folder of the cache that holds ``files``, or ``None``; never uses the network.

    Raises:
        ValueError: ``repo`` is not the name of a repository.
    """
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = _snapshot(repo, files, options, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ValueError(f"{repo!r} is not the name of a Hub repository, which is 'owner/name'") from error
    return None if _absent(found, files) else found


def commit_of(folder: Path) -> str | None:
    """The commit that a folder of the Hub's cache holds; ``None`` for any other folder.

    Example:
        >>> commit_of(Path("hub/models--a--b/snapshots/0123abcd")), commit_of(Path("/models/mine"))
        ('0123abcd', None)
    """
    return folder.name if folder.parent.name == "snapshots" else None


def _snapshot(repo: str, files: Sequence[str], options: HubOptions, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repo,
            revision=options.revision,
            cache_dir=options.cache_dir,
            local_files_only=local_files_only,
            token=options.token,
            allow_patterns=list(files),
        )
    )


def _absent(folder: Path, files: Sequence[str]) -> list[str]:
    """Patterns that no file of the folder fulfils, and parts that an index names and that are not there."""
    absent = [pattern for pattern in files if not any(folder.glob(pattern))]
    for index in folder.glob("*.index.json"):
        parts = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        absent += sorted(part for part in parts if not (folder / part).is_file())
    return absent


def _gated(repo: str, licence: str, alternative: str) -> str:
    under = f" under the {licence}" if licence else ""
    instead = f"; {alternative!r} is open to all" if alternative else ""
    return (
        f"{repo} is gated{under}: accept its licence at https://huggingface.co/{repo} and log in "
        f"(`hf auth login`, or token=...){instead}"
    )


def _unavailable(repo: str, files: Sequence[str], options: HubOptions, reason: str) -> str:
    at = f" (revision {options.revision})" if options.revision else ""
    return (
        f"{repo}{at}: {', '.join(files)} are neither in the cache nor to be had from the Hub ({reason}). "
        f"Either run where the Hub is reached; or copy the Hub's cache from a machine that has it and pass "
        f"cache_dir=...; or download the repository there (`hf download {repo}`) and name its folder: "
        f"'local-dir:/path/to/folder'"
    )
