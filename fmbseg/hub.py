"""Heads and labels to the Hub and back, without loading a frozen model.

Objects push themselves (:meth:`fmbseg.OpenVocabSegmenter.push_to_hub`, :meth:`fmbseg.LabelSet.push_to_hub`)
and heads load themselves from there (:meth:`fmbseg.OpenVocabSegmenter.from_pretrained`); this is what the
command line needs besides: folders.
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
    """Push a folder that ``save_pretrained`` wrote; its ``README.md`` goes with it unless a card is given.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.
        repo: ``owner/name``; made if it does not exist.
        card: what a new model card says beside what the head knows.
        branch: made if it does not exist.
        private: whether a repository that is made is private.
        token: with the right to write.
        commit_message: first line of the commit.

    Returns:
        The address of the commit.

    Raises:
        AlignedEncoderError: the folder holds no head, or a damaged one.
        PushError: the Hub is not reached, or refuses.
        ValueError: ``repo`` is not the name of a repository; told before anything is read.
    """
    check_repository(repo)
    return SavedHead.read(Path(folder)).push_to_hub(
        repo, card=card, branch=branch, private=private, token=token, commit_message=commit_message
    )


def pull_head(repo: str, out: str | Path | None = None, options: HubOptions | None = None) -> Path:
    """Fetch a head from the Hub and check it: files, tensors, and that it names models of the Hub only.

    Args:
        repo: ``owner/name``.
        out: folder to write it to; the Hub's cache alone if not given.
        options: how to look for it: revision, token, cache, network or not.

    Returns:
        The folder of the head.

    Raises:
        AlignedEncoderError: it is not a head, or damaged.
        AssetUnavailableError: it is neither to be had nor in the cache.
        UntrustedSpecError: it names a model that would read files of this machine or run code.
        WouldReplaceError: (a ValueError) a file in ``out`` is not of an earlier pull; nothing was fetched.
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
