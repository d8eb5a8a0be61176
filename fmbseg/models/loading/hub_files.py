"""A model's files from the Hub, its cache or a local folder; one error says how to get them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.files import inside, parse_json
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX = ".index.json"
_REVISION = r"[\w+@=][^\s\\:?*\[~^]*"  # git's rules for names: no absolute path, none of git's own symbols


@dataclass(frozen=True)
class HubOptions:
    """How files are looked for; everything that loads from the Hub takes these, as ``hub=``.

    Args:
        revision: branch, tag or commit; ``None`` means the repository's main branch.
        cache_dir: folder of the cached files; ``None`` means the Hub client's own.
        local_files_only: never use the network (``HF_HUB_OFFLINE=1`` does the same).
        token: for private or gated repositories; ``None`` means the one from the Hub client's log-in.

    Raises:
        ValueError: ``revision`` is not a valid one; the Hub's client would look for a file at that path.
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = None

    def __post_init__(self) -> None:
        if self.revision is not None and (
            not re.fullmatch(_REVISION, self.revision) or ".." in self.revision
        ):
            raise ValueError(
                f"revision is {self.revision!r}: it must be a branch, a tag or a commit of the repository"
            )

    def at(self, revision: str | None) -> HubOptions:
        """These options with the revision that a spec names, unless they name one themselves.

        Example:
            >>> HubOptions().at("v2").revision, HubOptions("v3").at("v2").revision
            ('v2', 'v3')
        """
        return self if self.revision is not None else replace(self, revision=revision)


def for_heads_and_models(
    hub: HubOptions | None,
    revision: str | None,
    token: str | bool | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
) -> tuple[HubOptions, HubOptions]:
    """Options for a head's repository, and those for the frozen models that it names.

    Options given for one also hold for the other, except the revision: that belongs to the head's repository.

    Example:
        >>> head, models = for_heads_and_models(None, "v2", None, "cache/", False)
        >>> (head.revision, head.cache_dir), (models.revision, models.cache_dir)
        (('v2', 'cache/'), (None, 'cache/'))
    """
    base = hub or HubOptions()
    head = HubOptions(
        revision=revision,
        cache_dir=base.cache_dir if cache_dir is None else cache_dir,
        local_files_only=local_files_only or base.local_files_only,
        token=base.token if token is None else token,
    )
    return head, replace(head, revision=None) if hub is None else hub


def hub_folder(
    repo: str,
    files: Sequence[str],
    options: HubOptions,
    *,
    optional: Sequence[str] = (),
    alternative: str = "",
    licence: str = "",
) -> Path:
    """Return a folder that holds ``files`` of a Hub repository, fetched if necessary.

    Files in the cache are used as they are, without asking the Hub whether its branch has moved: pass another
    ``revision``, or let the Hub's client fetch (`hf download`), to get a newer one.

    Args:
        repo: ``owner/name``.
        files: names or patterns of the files wanted, for example ``"config.json"``, ``"*.safetensors"``; for
            each, there must be one.
        options: how to look for them.
        optional: files that are fetched with the others, but that a repository need not have.
        alternative: for a gated repository, the spec of a model that anyone may use instead.
        licence: for a repository known to be gated, the name of its licence.

    Raises:
        AssetUnavailableError: they are not in the cache and cannot be fetched; the message names repository,
            files and what can be done.
        ValueError: ``repo`` is not the name of a repository.
    """
    cached = cached_folder(repo, files, options)
    if cached is not None:
        return cached
    return _fetched(
        repo,
        files,
        options,
        optional,
        licence=licence,
        alternative=alternative,
        named="'FAMILY:local-dir:/path/to/folder', FAMILY as in the spec (timm, hf, open_clip, hf-sam)",
    )


def newest_folder(
    repo: str, files: Sequence[str], options: HubOptions, *, optional: Sequence[str] = ()
) -> Path:
    """Return a folder with ``files`` as they are on the Hub now, or in the cache if the Hub is out of reach.

    Args:
        repo: ``owner/name``.
        files: see :func:`hub_folder`.
        options: how to look for them; a commit as the revision never changes, so it is not checked again.
        optional: files that are fetched with the others, but that a repository need not have.

    Raises:
        AssetUnavailableError: they cannot be fetched and are not in the cache, or the download was cut short.
        ValueError: ``repo`` is not the name of a repository.
    """
    check_repository(repo)
    return _fetched(repo, files, options, optional, named="its path")


def size_on_hub(repo: str, file: str, options: HubOptions) -> int | None:
    """Size in bytes of one file of a repository, according to the Hub; ``None`` if it does not say."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if options.local_files_only:
        return None
    try:
        return get_hf_file_metadata(
            hf_hub_url(repo, file, revision=options.revision), token=options.token
        ).size
    except hub_errors():
        return None


def hub_errors() -> tuple[type[Exception], ...]:
    """What the Hub's client raises if the Hub is out of reach, refuses, breaks off, or is something else.

    Its HTTP library differs from version to version; the base class of the client's own error is that of all
    the library's errors.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, JSONDecodeError, *HfHubHTTPError.__bases__)


def _fetched(
    repo: str,
    files: Sequence[str],
    options: HubOptions,
    optional: Sequence[str],
    *,
    named: str,
    licence: str = "",
    alternative: str = "",
) -> Path:
    from huggingface_hub.errors import GatedRepoError

    try:
        found = _snapshot(repo, [*files, *optional], options, local_files_only=options.local_files_only)
    except GatedRepoError as error:
        raise AssetUnavailableError(_gated(repo, licence, alternative)) from error
    except hub_errors() as error:
        reason = "what answers is not the Hub" if isinstance(error, JSONDecodeError) else first_line(error)
        message = _unavailable(repo, files, options, reason, named)
        if licence:
            message = f"{message}. {_gated(repo, licence, alternative)}"
        raise AssetUnavailableError(message) from error
    absent = _absent(found, files)
    if absent:
        reason = f"{found} is there without {', '.join(absent)}, and so may be the repository"
        raise AssetUnavailableError(_unavailable(repo, absent, options, reason, named))
    return found


def hub_folder_of(
    repo: str,
    files: Sequence[str],
    choices: Sequence[Sequence[str]],
    options: HubOptions,
    *,
    optional: Sequence[str] = (),
    alternative: str = "",
    licence: str = "",
) -> Path:
    """Return a folder that holds ``files`` and one of ``choices``; only that one is fetched.

    Args:
        repo: ``owner/name``.
        files: files that the repository must have, besides one of the choices.
        choices: sets of names or patterns that go together, the best first, for example safetensors before
            pickles.
        options: how to look for them.
        optional: see :func:`hub_folder`.
        alternative: see :func:`hub_folder`.
        licence: see :func:`hub_folder`.

    Raises:
        AssetUnavailableError: as raised by :func:`hub_folder` for the first choice.
    """
    for choice in choices:
        if (cached := cached_folder(repo, (*files, *choice), options)) is not None:
            return cached
    first: AssetUnavailableError | None = None
    for choice in choices:
        try:
            return hub_folder(
                repo,
                (*files, *choice),
                options,
                optional=optional,
                alternative=alternative,
                licence=licence,
            )
        except AssetUnavailableError as error:  # noqa: PERF203 - what is missing decides what is tried next
            first = first or error
            if cached_folder(repo, files, options) is None:
                break  # the repository was not reached: there is no point in asking again
    assert first is not None
    raise first


def cached_folder(repo: str, files: Sequence[str], options: HubOptions) -> Path | None:
    """Return the cache folder that holds ``files``, or ``None``; never uses the network.

    Raises:
        ValueError: ``repo`` is not the name of a repository.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    check_repository(repo)
    try:
        found = _snapshot(repo, files, options, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return None if _absent(found, files) else found


def check_repository(repo: str) -> None:
    """Make sure, without the network, that a name is valid for a repository.

    Raises:
        ValueError: it is not.

    Example:
        >>> check_repository("me/../head")
        Traceback (most recent call last):
        ValueError: 'me/../head' is not the name of a Hub repository, which is 'owner/name'
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ValueError(f"{repo!r} is not the name of a Hub repository, which is 'owner/name'") from error


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
    """Patterns that no file in the folder matches, and parts that an index names but that are missing."""
    absent = [pattern for pattern in files if not any(folder.glob(pattern))]
    for index in files:
        if index.endswith(INDEX) and index not in absent:
            absent += [part for part in parts_of(folder / index) if not (folder / part).is_file()]
    return absent


def parts_of(index: Path) -> list[str]:
    """The names of the files listed in an index of weights in several files, sorted.

    Raises:
        WeightsError: the index is damaged, or names a file outside its folder.
    """
    try:
        named = parse_json(index.read_bytes(), index)["weight_map"].values()
        parts = sorted({inside(index.parent, part).relative_to(index.parent).as_posix() for part in named})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{index} does not say which files hold the weights ({error}): get it again"
        ) from error
    return parts


def _gated(repo: str, licence: str, alternative: str) -> str:
    under = f" under the {licence}" if licence else ""
    instead = f"; {alternative!r} is open to all" if alternative else ""
    return (
        f"{repo} is gated{under}: ask for access on its page, https://huggingface.co/{repo}, and log in "
        f"(`hf auth login`, or token=...){instead}"
    )


def _unavailable(repo: str, files: Sequence[str], options: HubOptions, reason: str, named: str) -> str:
    at = f" (revision {options.revision})" if options.revision else ""
    verb = "is" if len(files) == 1 else "are"
    return (
        f"{repo}{at}: {', '.join(files)} {verb} neither in the cache nor to be had from the Hub ({reason}). "
        f"Either run where the Hub is reached, for a private repository with token=... or after "
        f"`hf auth login`; or copy the Hub's cache from a machine that has it and pass "
        f"cache_dir=...; or download the repository there (`hf download {repo}`) and name its folder: {named}"
    )
