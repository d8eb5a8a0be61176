from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.head_settings import HeadKind
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.alignment.distillation import OldVocabulary
from fmbseg.alignment.losses import LossOptions, tsupcon
from fmbseg.alignment.mask_targets import MaskFeatures
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.masks import MaskSet
from fmbseg.vocabulary import Vocabulary
from tests.alignment.grids import PROTOTYPES, dense_of, features_of, make_examples, make_head

SETTINGS = TrainingSettings(temperature=0.3)


def flat(head: AlignmentHead, index: int) -> torch.Tensor:
    return head(features_of(make_examples(2)[index]))[0].flatten(1).T  # type: ignore[no-any-return]


def test_the_labelled_patches_of_all_photographs_meet_in_the_loss() -> None:
    head, examples = make_head(), make_examples(2)
    found = Objective(features_of, PROTOTYPES, SETTINGS).batch(head, examples, epoch=1)
    labels = torch.cat([torch.from_numpy(example.labels.ravel()).long() for example in examples])
    expected = tsupcon(
        torch.cat([flat(head, 0), flat(head, 1)]), labels, PROTOTYPES, LossOptions(temperature=0.3)
    )
    assert found.value.item() == found.reported.item() == pytest.approx(expected.item(), rel=1e-6)
    assert found.patches == int((labels >= 0).sum()) == 12 + 18


def test_patches_of_weight_0_take_no_part() -> None:
    head, example = make_head(), make_examples(1)[0]
    weights = np.where(example.labels == 1, 0, 1).astype(np.float32)
    found = Objective(features_of, PROTOTYPES, SETTINGS).batch(
        head, [replace(example, weights=weights)], epoch=1
    )
    labels = torch.from_numpy(np.where(weights > 0, example.labels, -1).ravel()).long()
    expected = tsupcon(flat(head, 0), labels, PROTOTYPES, LossOptions(temperature=0.3))
    assert found.value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert found.patches == 8


@pytest.mark.parametrize("kind", ["block", "mlp"])
def test_of_drawn_patches_all_terms_are_as_of_the_whole_at_their_places(kind: HeadKind) -> None:
    """The head of drawn patches may have seen the others, if it attends, and does not have to otherwise."""
    torch.manual_seed(0)
    head = AlignmentHead(12, 8, heads=2, kind=kind)
    example = make_examples(1)[0]
    masks = MaskFeatures.of(
        MaskSet.from_masks(np.ones((1, 3, 6), np.bool_)), np.eye(1, 8, 1, dtype=np.float16), (3, 6)
    )
    example = replace(example, masks=masks)
    settings = replace(SETTINGS, patches_per_image=7, mask_weight=2.0, dense_weight=0.5, distillation=3.0)
    old = OldVocabulary(make_head(), Prototypes(Vocabulary.of(["a", "b", "c"]), PROTOTYPES), 0.3)
    found = Objective(features_of, PROTOTYPES, settings, dense_of, old).batch(head, [example], epoch=4)

    places = example.drawn_places(7, settings.seed, 4)
    assert places is not None
    vectors, dense, before = (
        each[0].flatten(1).T[places]
        for each in (head(features_of(example)), dense_of(example), old.head(features_of(example)))
    )
    labels = torch.from_numpy(example.labels.ravel()).long()[places]
    expected = tsupcon(vectors, labels, PROTOTYPES, LossOptions(temperature=0.3))
    expected += 2.0 * (1 - vectors[:, 1]).mean() + 0.5 * (1 - (vectors * dense).sum(dim=1)).mean()
    wanted, given = ((each @ PROTOTYPES.T / 0.3).log_softmax(dim=1) for each in (before.detach(), vectors))
    expected += 3.0 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    assert found.value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.patches == int((labels >= 0).sum()) < 7
    wide = replace(settings, patches_per_image=18)
    whole = replace(settings, patches_per_image=None)
    values = [
        Objective(features_of, PROTOTYPES, each, dense_of, old).batch(head, [example], epoch=4).value.item()
        for each in (wide, whole)
    ]
    assert values[0] == values[1]


def test_on_a_cpu_bfloat16_is_used_only_where_it_is_asked_for() -> None:
    examples = make_examples(2)
    losses, kinds = {}, {}
    for precision in ("auto", "fp32", "bf16"):
        head = make_head()
        seen: list[torch.dtype] = []
        head.project.register_forward_hook(lambda _module, _given, out, seen=seen: seen.append(out.dtype))
        settings = replace(SETTINGS, precision=precision)
        loss = Objective(features_of, PROTOTYPES, settings).batch(head, examples, epoch=1).value
        torch.autograd.backward(loss)
        losses[precision], kinds[precision] = loss, set(seen)
        assert loss.dtype == torch.float32
        assert all(
            weight.grad is not None and weight.grad.dtype == torch.float32 for weight in head.parameters()
        )
    assert kinds == {"auto": {torch.float32}, "fp32": {torch.float32}, "bf16": {torch.bfloat16}}
    assert torch.equal(losses["auto"], losses["fp32"])
    assert losses["bf16"].item() != losses["fp32"].item()
    assert losses["bf16"].item() == pytest.approx(losses["fp32"].item(), rel=0.02)
