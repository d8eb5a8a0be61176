"""Files of a model from the Hub, its cache or a local folder; one error says how to get them."""

from __future__ import annotations

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


def hub_folder(repo: str, files: Sequence[str], options: HubOptions, *, alternative: str = "") -> Path:
    """Return a folder that holds ``files`` of a Hub repository, fetched if need be.

    Args:
        repo: ``owner/name``.
        files: names or patterns of the files wanted, for example ``"config.json"``, ``"*.safetensors"``.
        options: how to look for them.
        alternative: for a gated repository, the spec of a model that anyone may use instead.

    Raises:
        AssetUnavailableError: they are neither in the cache nor to be had; the message names the repository,
            the files and what can be done.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repo,
            revision=options.revision,
            cache_dir=options.cache_dir,
            local_files_only=options.local_files_only,
            token=options.token,
            allow_patterns=list(files),
        )
    except GatedRepoError as error:
        instead = f"; {alternative!r} is open to all" if alternative else ""
        raise AssetUnavailableError(
            f"{repo} is gated: accept its licence at https://huggingface.co/{repo} and log in "
            f"(`hf auth login`, or token=...){instead}"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise AssetUnavailableError(_unavailable(repo, files, options, error)) from error
    return Path(found)


def _unavailable(repo: str, files: Sequence[str], options: HubOptions, error: Exception) -> str:
    at = f" (revision {options.revision})" if options.revision else ""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"{repo}{at}: {', '.join(files)} are neither in the cache nor to be had from the Hub ({reason}). "
        f"Either run where the Hub is reached; or copy the Hub's cache from a machine that has it and pass "
        f"cache_dir=...; or download the repository there (`hf download {repo}`) and name its folder: "
        f"'local-dir:/path/to/folder'"
    )
