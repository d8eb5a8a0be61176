"""A saved head: read from a folder or the Hub and fully checked, pushed and pulled, without frozen models."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fmbseg.aligned.card import HeadCard, render_card
from fmbseg.aligned.config import AlignedConfig, AlignedEncoderError
from fmbseg.aligned.files import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_bytes,
    check_place,
    digest_of,
    parse_config,
    read_config,
    read_tensors,
    write_files,
)
from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.aligned.sharing import Shareable
from fmbseg.heads import packaged_head
from fmbseg.models.loading.hub_files import (
    HubOptions,
    check_repository,
    commit_of,
    newest_folder,
    size_on_hub,
)
from fmbseg.models.loading.trust import check_remote_spec
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT

_HEAD = "head."
_PROTOTYPES = "prototypes"
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, eq=False)
class SavedHead(Shareable):
    """What the files of a head hold.

    Args:
        config: the parts by name and size.
        head: in evaluation mode.
        prototypes: text vectors of the training's classes, if known.
        written_card: text of the card that it came with; if empty, a new one is written.
        from_hub: whether somebody else may have written it.
    """

    config: AlignedConfig
    head: AlignmentHead
    prototypes: Prototypes | None
    written_card: str = ""
    from_hub: bool = False

    @classmethod
    def find(cls, source: str | Path, options: HubOptions | None = None) -> SavedHead:
        """Read a head from a folder; if there is none, one that comes with the package, or one from the Hub.

        Args:
            source: a folder, a name of :func:`fmbseg.heads.packaged_heads`, or ``owner/name``.
            options: how a repository's files are found. A branch is looked up anew each time; if the Hub is
                out of reach, the cache serves.

        Raises:
            AlignedEncoderError: a file is missing or damaged, the schema is unknown, a tensor has a wrong
                shape or is not finite.
            AssetUnavailableError: it is on the Hub, which is out of reach, and not in the cache.
        """
        folder = Path(source)
        if isinstance(source, str) and not folder.exists():
            packaged = packaged_head(source)
            if packaged is not None:
                return cls.read(packaged)
            if _REPOSITORY.fullmatch(source):
                return replace(cls.read(fetch_head(source, options or HubOptions())), from_hub=True)
        return replace(cls.read(folder), from_hub=_is_download(folder))

    @classmethod
    def read(cls, folder: Path) -> SavedHead:
        """Read and check the files of a folder.

        Raises:
            AlignedEncoderError: see :meth:`find`.
        """
        config, digest = read_config(folder)
        expected = _shapes(config, folder / CONFIG_FILE)
        tensors = read_tensors(folder, digest, expected)
        vectors = tensors.pop(_PROTOTYPES, None)
        with torch.device("meta"):
            head = _head_of(config)
        head.load_state_dict(
            {name.removeprefix(_HEAD): tensor for name, tensor in tensors.items()}, assign=True
        )
        known = None
        if config.vocabulary is not None and vectors is not None:
            known = Prototypes(config.vocabulary, vectors)
        card = folder / CARD_FILE
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        return cls(config, head.eval(), known, text)

    def check_trust(self, *, backbone_given: bool, text_encoder_given: bool) -> None:
        """Refuse models that a head from the Hub must not name; what the user names is the user's choice.

        Raises:
            UntrustedSpecError: see :func:`~fmbseg.models.loading.trust.check_remote_spec`.
        """
        if not self.from_hub:
            return
        if not backbone_given:
            check_remote_spec(BACKBONES, self.config.backbone, "backbone")
        if not text_encoder_given:
            check_remote_spec(IMAGE_TEXT, self.config.text_encoder, "text_encoder")

    def digest(self) -> str:
        """SHA-256 of the head's weights."""
        return digest_of(self.head.state_dict())

    def to_save(self) -> SavedHead:
        """Itself."""
        return self

    def card_text(self, card: HeadCard | None = None, repo: str | None = None) -> str:
        """The model card: the one that it came with, unless a new one has something to say."""
        if card is None and self.written_card:
            return self.written_card
        return render_card(self.config, self.digest(), card or HeadCard(), repo)

    def write(self, folder: Path, card: object) -> None:
        """Write the files; the card's text is ``str(card)``."""
        tensors = {_HEAD + name: tensor for name, tensor in self.head.state_dict().items()}
        if self.prototypes is not None:
            tensors[_PROTOTYPES] = self.prototypes.vectors
        write_files(folder, self.config, tensors, str(card))


def fetch_head(repo: str, options: HubOptions) -> Path:
    """Return a folder with the files of a head on the Hub, fetched if they are not in the cache.

    The config comes first: it says how large the weights can be, and so whether they are worth fetching.

    Raises:
        AlignedEncoderError: the config is not valid, or the weights are larger than it says.
        AssetUnavailableError: the files are neither available nor in the cache.
    """
    folder = newest_folder(repo, [CONFIG_FILE], options)
    pinned = replace(options, revision=commit_of(folder) or options.revision)
    if not (folder / WEIGHTS_FILE).is_file():
        config, _ = parse_config(folder / CONFIG_FILE)
        size = size_on_hub(repo, WEIGHTS_FILE, pinned)
        if size is not None:
            check_bytes(size, _shapes(config, CONFIG_FILE), f"{WEIGHTS_FILE} of {repo}")
    return newest_folder(repo, [CONFIG_FILE, WEIGHTS_FILE], pinned, optional=[CARD_FILE])


def _is_download(folder: Path) -> bool:
    """Whether the Hub's client made the folder, in its cache or elsewhere."""
    return commit_of(folder.resolve()) is not None or (folder / ".cache" / "huggingface").is_dir()


def _shapes(config: AlignedConfig, where: object) -> dict[str, tuple[int, ...]]:
    """The shapes that the weights must have; allocates nothing.

    Raises:
        AlignedEncoderError: sizes that no head can have.
    """
    try:
        with torch.device("meta"):
            head = _head_of(config)
    except (RuntimeError, OverflowError, TypeError) as error:
        raise AlignedEncoderError(f"{where}: no head can have the sizes {config.head}: {error}") from error
    expected = {_HEAD + name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    if config.vocabulary is not None:
        expected[_PROTOTYPES] = (len(config.vocabulary), config.head.out_dim)
    return expected


def _head_of(config: AlignedConfig) -> AlignmentHead:
    sizes = config.head
    return AlignmentHead(sizes.in_dim, sizes.out_dim, sizes.heads, sizes.mlp_ratio, kind=sizes.kind)


def push_head(
    folder: str | Path,
    repo: str,
    *,
    card: HeadCard | None = None,
    branch: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str = "Push a head with fmbseg",
) -> str:
    """Push a folder that ``save_pretrained`` wrote, with its ``README.md`` unless a card is given.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.
        repo: ``owner/name``; created if it does not exist.
        card: information for a new model card that the head does not record itself.
        branch: created if it does not exist.
        private: whether a new repository is private.
        token: with write permission.
        commit_message: first line of the commit.

    Returns:
        The URL of the commit.

    Raises:
        AlignedEncoderError: the folder holds no head, or a damaged one.
        PushError: the Hub cannot be reached, or refuses.
        ValueError: ``repo`` is not the name of a repository; raised before anything is read.
    """
    check_repository(repo)
    return SavedHead.read(Path(folder)).push_to_hub(
        repo, card=card, branch=branch, private=private, token=token, commit_message=commit_message
    )


def pull_head(repo: str, out: str | Path | None = None, options: HubOptions | None = None) -> Path:
    """Fetch a head from the Hub and check it: files, tensors, and that it names models of the Hub only.

    Args:
        repo: ``owner/name``.
        out: folder to write it to; by default only the Hub's cache.
        options: how to find it: revision, token, cache, and whether to use the network.

    Returns:
        The folder of the head.

    Raises:
        AlignedEncoderError: it is not a head, or damaged.
        AssetUnavailableError: it can neither be fetched nor found in the cache.
        UntrustedSpecError: it names a model that would read local files or run code.
        WouldReplaceError: (a ValueError) a file in ``out`` is not from an earlier pull; nothing was fetched.
    """
    check_repository(repo)
    if out is not None:
        check_place(Path(out))
    saved = SavedHead.find(repo, options)
    saved.check_trust(backbone_given=False, text_encoder_given=False)
    if out is None:
        return fetch_head(repo, options or HubOptions())
    saved.write(Path(out), saved.card_text(repo=repo))
    return Path(out)
