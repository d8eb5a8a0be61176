"""TSupCon: text-supervised contrastive loss over image patches (Seifi et al. 2024, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbseg.alignment.losses.inputs import Batch, labelled_batch
from fmbseg.alignment.losses.pairs import others_logsumexp
from fmbseg.alignment.losses.terms import image_sum, text_sum

if TYPE_CHECKING:
    import torch

    from fmbseg.alignment.settings import Classes


def tsupcon(
    patches: torch.Tensor,
    labels: torch.Tensor,
    prototypes: torch.Tensor,
    *,
    temperature: float = 1.0,
    ignore_index: int = -1,
    exclude_self: bool = False,
    text_weight: float | None = None,
    classes: Classes = "dataset",
) -> torch.Tensor:
    r"""Pull patches to their class's text and to one another, as equations 1 to 4 of the paper print it.

    With the labelled patches ``z_i`` (``M`` of them, the paper's ``BN``), their classes ``y_i``, the text
    prototypes ``t_k`` (``K`` of them), ``N_k`` patches of class ``k``, and every dot product over
    ``temperature``::

        L        = 1 / (M + K) * ( sum_k l_t(t_k) + sum_i l_im(z_i) )                                      (1)
        l_t(t_k) = 1 / N_k * sum_{i: y_i = k} l_t(z_i, t_k)                                                (2)
        l_t(z_i, t_{y_i}) = -z_i.t_{y_i} + log( sum_k exp(z_i.t_k) + sum_{j != i} exp(z_i.z_j) )           (3)
        l_im(z_i) = 1 / N_{y_i} * sum_{l: y_l = y_i} ( -z_i.z_l + log sum_{j != i} exp(z_i.z_j) )          (4)

    What the paper leaves open is settled as follows.

    - Patches labelled ``ignore_index`` are dropped everywhere: from the sums, the denominators and ``M``.
    - A class without a patch in the batch has no term (2), but its prototype stays in the denominator of (3)
      and in ``K``, for it is a wrong answer like any other. ``classes="batch"`` drops it from both: ``K``
      then is the number of classes in the batch.
    - The sum of (4) counts ``l = i`` as printed. ``exclude_self=True`` leaves it out and divides by
      ``N_{y_i} - 1``, as SupCon does (Khosla et al. 2020).
    - A class of one patch: its (4) is ``-z_i.z_i + log(...)`` as printed, and 0 with ``exclude_self=True``.
    - A batch of one patch: the sum inside the logarithm of (4) is empty, and (4) counts as 0.
    - As printed, (1) adds a term for each class to one for each patch, so the share of the texts is at most
      ``K / (M + K)``: 2.4 % with five photographs of 37 x 37 patches and 171 classes. Clusters of patches
      form before they find their text. ``text_weight=w`` multiplies the sum over k by
      ``w * M / (number of classes in the batch)``: with 1, the mean over classes of (2) weighs as much as
      the mean over patches of (4).
    - Without any labelled patch the loss is 0, connected to the graph, with gradient 0.

    Vectors are taken as they are: give unit vectors. Memory grows with ``M``, not with its square;
    :func:`~fmbseg.alignment.losses.tsupcon_clear` is the same with whole matrices.

    Args:
        patches: unit vectors, (N, D), floating point.
        labels: class of each patch, 0 to K - 1 or ``ignore_index``, (N,), integers.
        prototypes: unit vectors of the classes' texts, (K, D).
        temperature: divides every dot product; 1 is the printed form.
        ignore_index: label of patches that have no class.
        exclude_self: leave ``l = i`` out of the sum of equation 4.
        text_weight: weight of the texts against the patches, each averaged; None is the printed form.
        classes: whose prototypes are wrong answers: of the whole ``"dataset"``, which is the printed form
            (``prototypes`` then are those of all classes detected in it), or of those in the ``"batch"``.

    Returns:
        The loss, a scalar of the dtype of ``patches``; differentiable once.

    Raises:
        ValueError: for shapes that do not fit, labels out of range, a temperature or weight that is not
            positive, or another word for ``classes``.

    Example:
        Two patches on the two prototypes of an orthogonal pair: (3) is ``-1 + log(e + 2)`` and (4) is
        ``-1 + log(1)`` for both, so the loss is ``(2 log(e + 2) - 4) / 4``.

        >>> import math, torch
        >>> loss = tsupcon(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
        >>> math.isclose(loss.item(), (2 * math.log(math.e + 2) - 4) / 4, rel_tol=1e-6)
        True
    """
    batch = labelled_batch(
        patches,
        labels,
        prototypes,
        temperature=temperature,
        ignore_index=ignore_index,
        exclude_self=exclude_self,
        text_weight=text_weight,
        classes=classes,
    )
    return tsupcon_of(batch) if len(batch.labels) else batch.nothing


def tsupcon_of(batch: Batch) -> torch.Tensor:
    """Equation 1 of a batch that has a patch."""
    log_others = others_logsumexp(batch.patches, batch.temperature)
    texts = batch.text_factor * text_sum(batch, log_others)
    return (texts + image_sum(batch, log_others)) / (len(batch.labels) + len(batch.prototypes))
