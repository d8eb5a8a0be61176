"""Saving and pushing of whatever holds a head, by the Hub client's own mixin."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from huggingface_hub import ModelCard, ModelHubMixin

from fmbseg.aligned.card import TAGS
from fmbseg.aligned.files import FILES
from fmbseg.models.hub_push import push_errors, ready_repository
from fmbseg.models.loading.hub_files import check_repository
from fmbseg.models.loading.trust import local_part
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT

if TYPE_CHECKING:
    from fmbseg.aligned.card import HeadCard
    from fmbseg.aligned.config import AlignedConfig
    from fmbseg.registry import Registry


class Saveable(Protocol):
    """A head that can be written, like :class:`~fmbseg.aligned.saved.SavedHead`."""

    @property
    def config(self) -> AlignedConfig:
        """The parts by name and size."""
        ...

    def card_text(self, card: HeadCard | None = None, repo: str | None = None) -> str:
        """The text of the model card."""
        ...

    def write(self, folder: Path, card: object) -> None:
        """Write the files; the card's text is ``str(card)``."""
        ...


class Shareable(
    ModelHubMixin,
    library_name="fmbseg",
    pipeline_tag="image-segmentation",
    tags=list(TAGS),
    paper_url="https://arxiv.org/abs/2403.09307",
):
    """Anything whose head can be saved to a folder and pushed to the Hub."""

    # The mixin would keep a copy of the constructor's arguments here: whole networks, and tokens.
    _hub_mixin_config = {}  # noqa: RUF012

    def to_save(self) -> Saveable:
        """The head as it is saved."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its head is")

    def save_pretrained(  # type: ignore[override]
        self,
        folder: str | Path,
        *,
        card: HeadCard | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
        **_of_the_mixin: Any,
    ) -> None:
        """Write ``config.json``, ``model.safetensors`` and ``README.md``; the frozen models go by spec.

        Args:
            folder: made if it does not exist; files of an earlier save are replaced, and no others.
            card: what the model card says beyond what the head knows.
            model_card_kwargs: what the Hub's mixin passes to :meth:`generate_model_card`.

        Raises:
            AlignedEncoderError: the card has the figures of another head.
            WouldReplaceError: (a ValueError) a file that fmbseg did not write is in the way.
        """
        about = {"card": card, **(model_card_kwargs or {})}
        self.to_save().write(Path(folder), self.generate_model_card(**about))

    def generate_model_card(self, *, card: HeadCard | None = None, repo: str | None = None) -> ModelCard:
        """The model card that is saved with the head.

        Args:
            card: what it says beyond what the head knows.
            repo: ``owner/name`` of the repository that it is for.
        """
        return ModelCard(self.to_save().card_text(card, repo))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        card: HeadCard | None = None,
        branch: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Push a head with fmbseg",
        **of_the_mixin: Any,
    ) -> str:
        """Push the head to a repository of the Hub, in one commit.

        The files are uploaded before the commit, which puts them into the repository all at once: a push that
        breaks off changes nothing, and repeating it reuses what was uploaded.

        Args:
            repo_id: ``owner/name``; created if it does not exist.
            card: what the model card says beyond what the head knows.
            branch: made if it does not exist; the repository's main one if not given.
            private: whether a new repository is private; by default the owner's setting.
            token: with write permission; by default that of ``hf auth login``.
            commit_message: first line of the commit.
            of_the_mixin: see ``huggingface_hub.ModelHubMixin.push_to_hub``, for example ``create_pr=True``.

        Returns:
            The URL of the commit.

        Raises:
            PushError: the Hub is out of reach, or refuses; the message says why and what to do.
            AlignedEncoderError: the card has the figures of another head.
            ValueError: ``repo_id`` is not the name of a repository.
        """
        check_repository(repo_id)
        _warn_of_local_models(self.to_save().config)
        with push_errors(repo_id):
            ready_repository(repo_id, private=private, branch=branch, token=token)
            address = super().push_to_hub(
                repo_id,
                branch=branch,
                private=private,
                token=token,
                commit_message=commit_message,
                model_card_kwargs={"card": card, "repo": repo_id},
                **{"allow_patterns": list(FILES), **of_the_mixin},
            )
        return str(address)


def _warn_of_local_models(config: AlignedConfig) -> None:
    """Warn if a model exists only on this machine: others must bring their own."""
    named: tuple[tuple[Registry[Any], str, str], ...] = (
        (BACKBONES, config.backbone, "backbone"),
        (IMAGE_TEXT, config.text_encoder, "text_encoder"),
    )
    for registry, spec, argument in named:
        if local_part(registry, spec) is not None:
            warnings.warn(
                f"the {registry.kind} {spec!r} is not a model of the Hub: whoever pulls this head has to "
                f"name it, from_pretrained(..., {argument}=...)",
                stacklevel=3,
            )
