"""Masks named as in Stage 1.2, by :func:`fmbseg.mask_means.mask_means`, and painted over the pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from fmbseg.mask_means import mask_means
from fmbseg.segmentation.decoding import Decoded, decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fmbseg.masks import MaskSet
    from fmbseg.segment_settings import SecondLook
    from fmbseg.segmentation.cutouts import Cutouts
    from fmbseg.segmentation.decoding import SecondMap


def paint_masks(decoded: Decoded, masks: MaskSet, named: Decoded) -> None:
    """Give the pixels of each mask what it is named, large masks first.

    Args:
        decoded: of the image, painted on.
        masks: N masks of the image, none of which is empty.
        named: of the masks, (1, N), with the same ``top`` and ``temperature`` (:func:`decode_masks`).

    Raises:
        ValueError: masks of another size than the image.

    Example:
        >>> from fmbseg.masks import MaskSet
        >>> left_right = torch.eye(2)[:, None, :]  # one row of two cells, each of one class
        >>> found = decode(left_right, torch.eye(2), (1, 4))
        >>> three = MaskSet.from_masks(np.array([[[True, True, True, False]]]))
        >>> paint_masks(found, three, decode_masks(three, left_right, torch.eye(2)))
        >>> found.labels.tolist()
        [[0, 0, 0, 1]]
    """
    size = tuple(decoded.labels.shape)
    if masks.size != size:
        raise ValueError(f"the masks are of an image of {masks.size}, the class map is {size}")
    for index in np.argsort(-masks.areas, kind="stable").tolist():
        inside = torch.from_numpy(masks.decode(index)).to(decoded.labels.device)
        for of_pixels, of_masks in zip(decoded, named, strict=True):
            if of_pixels is not None and of_masks is not None:
                of_pixels[..., inside] = of_masks[..., 0, index, None]


def decode_masks(
    masks: MaskSet,
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    *,
    second: SecondMap | None = None,
    top: int = 1,
    temperature: float | None = None,
    contest: Contest | None = None,
) -> Decoded:
    """Decode masks like a line of so many pixels, whose vectors are the means under the masks.

    So scores, the best few and the softmax's sum mean for a mask what they mean for a pixel.

    Args:
        masks: N masks of an image, none of which is empty; at least one.
        text_map: (D, h, w), which covers the image.
        prototypes: (K, D).
        second: another map, whose mean under each mask is mixed in.
        top: how many of the best texts are kept.
        temperature: of the softmax, if its sum is.
        contest: how words have to win against those of the background; by the higher score if not given.

    Returns:
        Of a line, (1, N).
    """
    maps = [text_map] if second is None else [text_map, second.text_map]  # on one grid
    lines = list(mask_means(masks, torch.cat(maps)).chunk(len(maps), dim=1))  # masks are decoded once for all

    def named(texts: torch.Tensor, top: int = 1, temperature: float | None = None) -> Decoded:
        line, *other = [one.T[:, None] for one in lines]
        also = None if second is None else replace(second, text_map=other[0])
        return decode(line, texts, (1, len(masks)), second=also, top=top, temperature=temperature)

    if contest is None:
        return named(prototypes, top, temperature)
    ahead = contest.ahead(named, prototypes)[0]
    won = ahead > contest.look.sure
    near = contest.looked_at_again(masks, ahead)
    if len(near):
        vectors = contest.seen_alone(masks, near).to(text_map)
        for line in lines:
            alone = torch.zeros_like(line[near])  # of a constant that is taken off a map's scores it has none
            alone[:, : vectors.shape[1]] = vectors
            line[near] = (line[near] + alone) / 2
        won[near] = contest.ahead(named, prototypes)[0, near] > contest.look.margin
    return contest.settled(named, prototypes, won[None], top=top, temperature=temperature)


def decode_contest(
    text_map: torch.Tensor,
    prototypes: torch.Tensor,
    size: tuple[int, int],
    contest: Contest,
    *,
    second: SecondMap | None = None,
    top: int = 1,
    temperature: float | None = None,
) -> Decoded:
    """As :func:`~fmbseg.segmentation.decoding.decode`, but a word has to be ahead at each pixel."""

    def pixels(texts: torch.Tensor, top: int = 1, temperature: float | None = None) -> Decoded:
        return decode(text_map, texts, size, second=second, top=top, temperature=temperature)

    return contest.settled(pixels, prototypes, top=top, temperature=temperature)


@dataclass(frozen=True, eq=False)
class Contest:
    """How words have to win masks against words of the background.

    Args:
        background: (K,) bool, which of the prototypes mean background; some do and some do not.
        look: by how much a word has to be ahead.
        image: RGB, (H, W, 3).
        cutouts: sees masks alone.
    """

    background: torch.Tensor
    look: SecondLook
    image: NDArray[np.uint8]
    cutouts: Cutouts

    def sides(self, prototypes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The words' prototypes and the background's, of all (K, D)."""
        return prototypes[~self.background], prototypes[self.background]

    def ahead(self, decoded: Callable[[torch.Tensor], Decoded], prototypes: torch.Tensor) -> torch.Tensor:
        """By how much the best word's score is above that of the best of the background's.

        Args:
            decoded: what some texts make of the image or its masks.
            prototypes: (K, D).
        """
        words, behind = map(decoded, self.sides(prototypes))
        return words.scores - behind.scores

    def settled(
        self,
        decoded: Callable[..., Decoded],
        prototypes: torch.Tensor,
        won: torch.Tensor | None = None,
        *,
        top: int,
        temperature: float | None,
    ) -> Decoded:
        """The best word where a word has won, and elsewhere the best of the background's.

        Args:
            decoded: what some texts make of the image or its masks, with ``top`` and ``temperature``.
            prototypes: (K, D).
            won: (H, W) bool; of pixels without a mask if not given, where a word is ahead enough.
            top: as for :func:`~fmbseg.segmentation.decoding.decode`, among all texts, whichever has won.
            temperature: likewise.
        """
        words, behind = map(decoded, self.sides(prototypes))
        won = words.scores - behind.scores > self.look.uncovered if won is None else won
        of_words, of_background = (
            which.nonzero()[:, 0].int() for which in (~self.background, self.background)
        )
        labels = torch.where(won, of_words[words.labels], of_background[behind.labels])
        scores = torch.where(won, words.scores, behind.scores)
        if top == 1 and temperature is None:
            return Decoded(labels, scores)
        return decoded(prototypes, top, temperature)._replace(labels=labels, scores=scores)

    def looked_at_again(self, masks: MaskSet, ahead: torch.Tensor) -> torch.Tensor:
        """Positions of the masks that are cut out.

        Args:
            masks: N of them.
            ahead: (N,) how far the best word is ahead of the background's by the map.
        """
        small = torch.from_numpy(masks.areas < self.look.largest * self.image[..., 0].size).to(ahead.device)
        return (small & (ahead <= self.look.sure) & (ahead > -self.look.near)).nonzero()[:, 0]

    def seen_alone(self, masks: MaskSet, which: torch.Tensor) -> torch.Tensor:
        """Vectors of masks that are cut out, (M, D)."""
        return self.cutouts.of(self.image, masks.select(which.cpu().numpy()))
