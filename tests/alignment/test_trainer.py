import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.prototypes import Prototypes
from fmbseg.alignment import trainer
from fmbseg.alignment.distillation import OldVocabulary
from fmbseg.alignment.losses import LossOptions, alignment_loss, tsupcon
from fmbseg.alignment.mask_targets import MaskFeatures
from fmbseg.alignment.objective import Objective
from fmbseg.alignment.settings import LossName, TrainingSettings
from fmbseg.alignment.trainer import EpochRecord, Step, TrainingDivergedError, train
from fmbseg.alignment.training_example import TrainingExample
from fmbseg.vocabulary import Vocabulary
from tests.alignment.grids import PROTOTYPES, dense_of, features_of, make_examples, make_head


def run(
    head: AlignmentHead, examples: list[TrainingExample], settings: TrainingSettings
) -> tuple[list[Step], list[EpochRecord]]:
    steps: list[Step] = []
    history: list[EpochRecord] = []
    objective = Objective(features_of, PROTOTYPES, settings)
    train(head, examples, objective, on_step=steps.append, on_epoch=history.append)
    return steps, history


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("sgd", 0.05), ("adamw", 3e-3)])
def test_patches_find_their_class(optimizer: str, learning_rate: float) -> None:
    settings = TrainingSettings(
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=learning_rate,
        text_weight=1.0,
    )
    head, examples = make_head(), make_examples(12)
    _, history = run(head, examples, settings)
    assert history[-1].loss < history[0].loss
    unseen = TrainingExample(Path("x"), "99", (8, 8), examples[0].labels)
    with torch.no_grad():
        found = torch.einsum("bdhw,kd->bkhw", head(features_of(unseen)), PROTOTYPES).argmax(dim=1)[0]
    labelled = unseen.labels >= 0
    assert (found.numpy()[labelled] == unseen.labels[labelled]).mean() > 0.9


def test_the_first_steps_are_sgd_with_momentum_on_the_loss() -> None:
    """Two steps of one photograph, by hand: v = 0.9 v + g + decay w; w -= rate v; rate of a cosine."""
    (example,) = make_examples(1)
    settings = TrainingSettings(epochs=2, learning_rate=0.02, weight_decay=0.01, temperature=0.3)
    trained = make_head()
    steps, history = run(trained, [example], settings)

    head, labels = make_head(), torch.from_numpy(example.labels.ravel()).long()
    velocity = [torch.zeros_like(weight) for weight in head.parameters()]
    for step in range(2):
        vectors = head(features_of(example))[0].flatten(1).T
        loss = tsupcon(vectors, labels, PROTOTYPES, LossOptions(temperature=0.3))
        gradients = torch.autograd.grad(loss, list(head.parameters()))
        rate = 0.02 * (1 + math.cos(math.pi * step / 2)) / 2
        assert steps[step].loss == pytest.approx(loss.item(), rel=1e-5)
        assert steps[step].learning_rate == pytest.approx(rate)
        assert history[step].loss == pytest.approx(loss.item(), rel=1e-5)
        with torch.no_grad():
            for v, weight, gradient in zip(velocity, head.parameters(), gradients, strict=True):
                v.mul_(0.9).add_(gradient + 0.01 * weight)
                weight.sub_(rate * v)
    for weight, expected in zip(trained.parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", ["dataset", "batch"])
@pytest.mark.parametrize("name", get_args(LossName))
def test_the_loss_of_a_name_is_what_is_trained(name: LossName, classes: Literal["dataset", "batch"]) -> None:
    """The first step on a photograph that has two of four classes."""
    (example,) = make_examples(1)
    example.labels[example.labels == 2] = -1
    texts = torch.eye(8)[:4]
    settings = TrainingSettings(
        epochs=1, loss=name, classes=classes, temperature=0.3, exclude_self=True, text_weight=0.5
    )
    steps: list[Step] = []
    train(
        make_head(),
        [example],
        Objective(features_of, texts, settings),
        on_step=steps.append,
        on_epoch=lambda _: None,
    )
    with torch.no_grad():
        vectors = make_head()(features_of(example))[0].flatten(1).T
        expected = alignment_loss(
            name,
            vectors,
            torch.from_numpy(example.labels.ravel()),
            texts if classes == "dataset" else texts[:2],
            LossOptions(temperature=0.3, exclude_self=True, text_weight=0.5),
        )
    assert steps[0].loss == pytest.approx(expected.item(), rel=1e-5)


def test_the_dense_term_is_one_minus_the_mean_cosine_of_every_patch() -> None:
    """By hand, over two photographs of different sizes, unlabelled patches counted as well."""
    examples = make_examples(2)
    settings = TrainingSettings(epochs=1, batch_size=2, dense_weight=2.5, learning_rate=1e-9)
    steps: list[Step] = []
    plain, _ = run(make_head(), examples, TrainingSettings(epochs=1, batch_size=2, learning_rate=1e-9))
    train(
        make_head(),
        examples,
        Objective(features_of, PROTOTYPES, settings, dense=dense_of),
        on_step=steps.append,
        on_epoch=lambda _: None,
    )
    cosines = []
    for example in examples:
        with torch.no_grad():
            aligned = make_head()(features_of(example))[0].flatten(1).T
        cosines += [float(a @ b) for a, b in zip(aligned, dense_of(example)[0].flatten(1).T, strict=True)]
    assert len(cosines) == 3 * 6 + 4 * 6
    expected = plain[0].loss + 2.5 * (1 - sum(cosines) / len(cosines))
    assert steps[0].loss == pytest.approx(expected, rel=1e-5)


def test_patches_without_a_label_learn_from_the_dense_map() -> None:
    """The top row has no label; with the dense term it comes to what the image-text model sees there."""
    examples = make_examples(6)
    settings = TrainingSettings(
        epochs=60,
        optimizer="adamw",
        learning_rate=5e-3,
        dense_weight=50.0,
        head_kind="block_without_attention",
    )
    target = functional.normalize(torch.ones(8), dim=0)[None, :, None, None]
    cosines = []
    for dense in (None, lambda example: target.expand(1, 8, *example.labels.shape)):
        head = make_head()
        train(
            head,
            examples,
            Objective(features_of, PROTOTYPES, settings, dense=dense),
            on_step=lambda _: None,
            on_epoch=lambda _: None,
        )
        with torch.no_grad():
            cosines.append(float((head(features_of(examples[0])) * target).sum(dim=1)[0, 0].mean()))
    assert cosines[1] > 0.9 > cosines[0]


def test_every_photograph_is_seen_once_a_pass_in_changing_order() -> None:
    seen: list[str] = []

    def recorded(example: TrainingExample) -> torch.Tensor:
        seen.append(example.sha256)
        return features_of(example)

    steps: list[Step] = []
    history: list[EpochRecord] = []
    settings = TrainingSettings(epochs=3, batch_size=3)
    examples = make_examples(8)
    train(
        make_head(),
        examples,
        Objective(recorded, PROTOTYPES, settings),
        on_step=steps.append,
        on_epoch=history.append,
    )
    passes = [seen[start : start + 8] for start in (0, 8, 16)]
    assert all(sorted(each) == [str(index) for index in range(8)] for each in passes)
    assert len({tuple(each) for each in passes}) == 3
    assert [step.images for step in steps] == [3, 3, 2] * 3
    assert [record.epoch for record in history] == [1, 2, 3]
    assert {record.patches for record in history} == {sum(int((e.labels >= 0).sum()) for e in examples)}
    assert history[0].learning_rate == settings.learning_rate
    rates = [step.learning_rate for step in steps]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what the processor would wait for a device for: a value or a size that depends on values."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "bincount", "masked_select", "equal")
        self.count += name == "index" and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", get_args(LossName))
def test_no_step_waits_for_the_device(loss: LossName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine steps are read at once, and until then no value is looked at; all terms and options."""
    monkeypatch.setattr(trainer, "_STEPS_UNREAD", 9)
    monkeypatch.setattr(trainer, "_is_never_ahead", lambda _: False)
    masks = MaskFeatures(
        np.full((1, 3, 6), 255, np.uint8), np.ones(1, np.float32), np.eye(1, 8, dtype=np.float16)
    )
    examples = [replace(example, masks=masks) for example in make_examples(20)[::2]]
    settings = TrainingSettings(
        loss=loss,
        classes="batch",
        exclude_self=True,
        text_weight=0.5,
        batch_size=1,
        epochs=1,
        max_gradient_norm=1.0,
        patches_per_image=14,
        dense_weight=1.0,
        mask_weight=1.0,
        mask_class_weight=1.0,
        distillation=1.0,
    )
    old = OldVocabulary(make_head(), Prototypes(Vocabulary.of(["a", "b", "c"]), PROTOTYPES), 0.3)
    features = {example.sha256: features_of(example) for example in examples}
    counted: list[int] = []
    with Waits() as waits:  # type: ignore[no-untyped-call]
        train(
            make_head(),
            examples,
            Objective(lambda each: features[each.sha256], PROTOTYPES, settings, dense_of, old),
            on_step=lambda _: counted.append(waits.count),
            on_epoch=lambda _: None,
        )
    assert counted == [0] * 10
    assert waits.count  # at the end of the epoch


def test_steps_that_are_read_late_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainingSettings(epochs=2, batch_size=2, optimizer="adamw", learning_rate=3e-3)
    at_once, late = make_head(), make_head()
    expected = run(at_once, make_examples(9), settings)
    monkeypatch.setattr(trainer, "_STEPS_UNREAD", 3)
    monkeypatch.setattr(trainer, "_is_never_ahead", lambda _: False)
    assert run(late, make_examples(9), settings) == expected
    assert all(torch.equal(a, b) for a, b in zip(state_of(late), state_of(at_once), strict=True))


def test_a_loss_that_is_not_finite_and_is_read_late_leaves_the_same_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The third of five steps is not a number: two are reported; what the second began with stays."""
    monkeypatch.setattr(trainer, "_is_never_ahead", lambda _: False)
    head, began, steps = make_head(), list[list[torch.Tensor]](), list[Step]()

    def poisoned(example: TrainingExample) -> torch.Tensor:
        began.append(state_of(head))
        return features_of(example) * (math.nan if len(began) == 3 else 1.0)

    settings = TrainingSettings(epochs=1, batch_size=1, learning_rate=0.01)
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, batch 3: the loss is nan \(images: \d.jpg\)"):
        train(
            head,
            make_examples(5),
            Objective(poisoned, PROTOTYPES, settings),
            on_step=steps.append,
            on_epoch=lambda _: None,
        )
    assert [step.batch for step in steps] == [1, 2]
    assert len(began) == 5
    assert all(torch.equal(a, b) for a, b in zip(state_of(head), began[1], strict=True))


def test_photographs_of_one_grid_go_through_the_head_together() -> None:
    seen: list[tuple[int, ...]] = []
    head = make_head()
    head.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    run(head, make_examples(5), TrainingSettings(epochs=1))
    assert sorted(seen) == [(2, 12, 4, 6), (3, 12, 3, 6)]


def test_one_seed_gives_one_head_bit_for_bit() -> None:
    states: list[torch.Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed + len(states))  # the global state has no say
        head = AlignmentHead(12, 8, heads=2)
        head.load_state_dict(make_head().state_dict())
        run(head, make_examples(7), TrainingSettings(epochs=2, seed=seed, batch_size=2))
        states.append(torch.cat([weight.detach().flatten() for weight in head.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def state_of(head: AlignmentHead) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in head.parameters()]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_head() -> None:
    """The eighth photograph that is asked for (epoch 2, batch 1 of 6 in batches of 4) is not a number."""
    asked = 0
    bad: list[str] = []
    states: list[list[torch.Tensor]] = []
    head = make_head()

    def poisoned(example: TrainingExample) -> torch.Tensor:
        nonlocal asked
        asked += 1
        if asked == 8:
            bad.append(example.path.name)
        return features_of(example) * (math.nan if asked == 8 else 1.0)

    def remember(step: Step) -> None:
        states.append(state_of(head))

    settings = TrainingSettings(epochs=3, batch_size=4, learning_rate=0.01)
    with pytest.raises(TrainingDivergedError) as error:
        train(
            head,
            make_examples(6),
            Objective(poisoned, PROTOTYPES, settings),
            on_step=remember,
            on_epoch=lambda _: None,
        )
    assert "epoch 2, batch 1: the loss is nan" in str(error.value)
    assert bad[0] in str(error.value)
    assert "Lower the learning rate (0.01)" in str(error.value)
    # Two batches were good; the weights that the second began with have a loss that was finite.
    assert len(states) == 2
    assert all(torch.equal(a, b) for a, b in zip(state_of(head), states[0], strict=True))


def test_a_learning_rate_that_is_far_too_high_is_told() -> None:
    head = make_head()
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, .*images: \d\.jpg"):
        run(head, make_examples(6), TrainingSettings(batch_size=2, learning_rate=1e38))
    assert all(bool(weight.isfinite().all()) for weight in head.parameters())


def test_weights_that_break_in_the_last_step_are_noticed() -> None:
    head = make_head()
    with pytest.raises(TrainingDivergedError, match="a weight is not finite after the step"):
        run(
            head,
            make_examples(1),
            TrainingSettings(epochs=1, learning_rate=1e38, weight_decay=1e38),
        )
    assert all(torch.equal(a, b) for a, b in zip(state_of(head), state_of(make_head()), strict=True))


def test_a_long_gradient_is_shortened() -> None:
    """One step of plain SGD moves all weights together by the rate times the length that is allowed."""
    (example,) = make_examples(1)
    moved = {}
    for norm in (None, 1e6, 0.01):
        head = make_head()
        settings = TrainingSettings(
            epochs=1, learning_rate=0.5, momentum=0.0, weight_decay=0.0, max_gradient_norm=norm
        )
        run(head, [example], settings)
        steps = [(a - b).flatten() for a, b in zip(state_of(head), state_of(make_head()), strict=True)]
        moved[norm] = torch.cat(steps)
    assert torch.equal(moved[None], moved[1e6])
    assert moved[None].norm() > 0.05
    assert moved[0.01].norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_a_warmup_begins_low() -> None:
    steps, history = run(make_head(), make_examples(4), TrainingSettings(epochs=2, batch_size=1, warmup=0.5))
    assert [step.learning_rate for step in steps[:5]] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert history[0].learning_rate == steps[0].learning_rate
