"""Pushing heads and labels to the Hub and pulling them, without loading a frozen model.

Objects have their own methods (:meth:`fmbseg.OpenVocabSegmenter.push_to_hub`,
:meth:`fmbseg.LabelSet.push_to_hub`) and :meth:`fmbseg.OpenVocabSegmenter.from_pretrained`); this module is
what the command line needs besides, for folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fmbseg.aligned.files import check_place
from fmbseg.aligned.saved import SavedHead, fetch_head
from fmbseg.models.loading.hub_files import HubOptions, check_repository

if TYPE_CHECKING:
    from fmbseg.aligned.card import HeadCard


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
