from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from fmbseg.aligned.config import AlignedEncoderError
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.checkpoint import TrainingCheckpointError
from fmbseg.alignment.examples import TrainingDataError, training_data
from fmbseg.alignment.fitting import new_head
from fmbseg.alignment.label_source import RecordedLabels
from fmbseg.alignment.selection import choose
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.alignment.trainer import TrainingDivergedError
from fmbseg.checksums import read_sealed_json, write_sealed_json
from fmbseg.images import load_image
from fmbseg.labels.label_set import LabelSet
from fmbseg.labels.manifest import SCHEMA_VERSION
from fmbseg.labels.record import EVERYTHING_STAGE, LabeledImage
from fmbseg.labels.writer import LabelWriter
from fmbseg.masks import MaskSet
from fmbseg.models.registries import BACKBONES, IMAGE_TEXT
from fmbseg.models.text import embed_vocabulary
from fmbseg.registry import UnknownNameError
from fmbseg.vocabulary import Vocabulary
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.alignment.photographs import BATHTUB, CAT, CUP, PERSON, TABLE, WORDS, Label, labelled

SETTINGS = TrainingSettings(epochs=2, batch_size=2, image_size=64, learning_rate=0.1)


def tiny(tmp_path: Path, **options: object) -> Aligner:
    arguments = {"settings": SETTINGS, "features_dir": tmp_path / "cache", "device": "cpu", **options}
    return Aligner("tiny-test", "tiny-test", **arguments)  # type: ignore[arg-type]


def test_fit_learns_from_the_classes_that_were_detected(tmp_path: Path) -> None:
    aligner = tiny(tmp_path).fit(labelled(tmp_path, side=96), progress=False)
    assert [record.epoch for record in aligner.history] == [1, 2]
    prototypes = aligner.encoder.prototypes
    assert prototypes is not None
    assert prototypes.vocabulary.names == ("cup", "cat", "person", "table")
    torch.testing.assert_close(prototypes.vectors, embed_vocabulary(TinyImageText(), prototypes.vocabulary))
    start = new_head(TinyBackbone().dim, TinyImageText().dim, aligner.settings).state_dict()
    changed = [
        name for name, weight in aligner.encoder.head.state_dict().items() if not weight.equal(start[name])
    ]
    assert sorted(changed) == sorted(start)  # every weight takes part


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_could_be_learned_and_that_is_told(
    tmp_path: Path, without: Callable[[], AbstractContextManager[None]]
) -> None:
    labels = labelled(tmp_path, side=96)
    with without(), pytest.raises(RuntimeError, match=r"fit needs gradients, .* switched off here"):
        tiny(tmp_path).fit(labels, progress=False)


def test_the_config_says_how_it_was_trained(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    aligner = tiny(tmp_path).fit(labels, progress=False)
    training = aligner.encoder.config.training
    assert training["settings"] == SETTINGS.to_dict()
    assert training["labels"] == {
        "fingerprint": labels.fingerprint,
        "models": {},  # labels at hand come from none
        "photographs": 3,
        "without_labelled_patch": 0,
    }
    assert [record["epoch"] for record in training["history"]] == [1, 2]


def write_label_set(folder: Path, labels: RecordedLabels, similarities: tuple[float, ...] = (1.0,)) -> None:
    """The same labels as Stage 1 writes them: each class's pixels are a mask, similarities in turn."""
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "fmbseg": "0.1.0",
        "models": {},
        "vocabulary": labels.vocabulary.to_dict(),
        "root": str(labels.root),
        "images": {"count": len(labels)},
        "shard_size": 2,
    }
    with LabelWriter(folder, manifest) as writer:
        for record in labels:
            pixels, classes = record.label_map(), np.array(record.detected, np.int32)
            count = len(classes)
            writer.append(
                LabeledImage(
                    path=record.path,
                    sha256=record.sha256,
                    detected=record.detected,
                    masks=MaskSet.from_masks(pixels == classes[:, None, None]),
                    class_ids=classes,
                    stages=np.full(count, EVERYTHING_STAGE, np.int8),
                    similarities=np.resize(np.array(similarities, np.float32), count),
                    kept=np.ones(count, np.bool_),
                    points=(np.zeros((0, 2), np.float32),) * count,
                )
            )


@pytest.mark.parametrize("opened", [True, False])
def test_a_label_set_and_its_folder(tmp_path: Path, opened: bool) -> None:
    labels = labelled(tmp_path, side=96)
    write_label_set(tmp_path / "labels", labels)
    label_set = LabelSet(tmp_path / "labels")
    aligner = tiny(tmp_path).fit(label_set if opened else str(tmp_path / "labels"), progress=False)
    assert aligner.history == tiny(tmp_path).fit(labels, progress=False).history
    assert aligner.encoder.config.training["labels"]["fingerprint"] == label_set.fingerprint


def test_a_checkpoint_knows_labels_by_their_content(tmp_path: Path) -> None:
    """Two sets of one manifest, whose masks differ in their similarity alone."""
    labels = labelled(tmp_path, side=96)
    for name, similarities in (("labels", (1.0,)), ("others", (1.0, 0.5))):
        write_label_set(tmp_path / name, labels, similarities)
    first, other = LabelSet(tmp_path / "labels"), LabelSet(tmp_path / "others")
    assert first.manifest == other.manifest
    tiny(tmp_path).fit(first, checkpoint=tmp_path / "kept", progress=False)
    with pytest.raises(TrainingCheckpointError, match=r"labels was '\w{64}' and is '\w{64}'"):
        tiny(tmp_path).fit(other, checkpoint=tmp_path / "kept", progress=False)


@pytest.mark.parametrize("path", ["../chelsea.png", "/etc/hostname", "a/../../chelsea.png"])
def test_a_photograph_outside_the_folder_of_the_labels_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "inner").mkdir()
    labels = labelled(tmp_path, side=96)
    first = labels.records[0]
    assert isinstance(first, Label)
    records = (replace(first, path=path), *labels.records[1:])
    with pytest.raises(TrainingDataError, match=f"'{path}' leads out of the folder .*inner"):
        tiny(tmp_path).fit(replace(labels, records=records, root=tmp_path / "inner"), progress=False)


def test_records_need_their_vocabulary(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    from_set = tiny(tmp_path).fit(labels, progress=False)
    from_records = tiny(tmp_path).fit(iter(labels), vocabulary=WORDS, root=tmp_path, progress=False)
    assert from_records.history == from_set.history
    with pytest.raises(ValueError, match="give their `vocabulary`"):
        tiny(tmp_path).fit(list(labels), progress=False)
    with pytest.raises(ValueError, match="leave out the argument `vocabulary`"):
        tiny(tmp_path).fit(labels, vocabulary=WORDS, progress=False)


def test_one_seed_gives_the_same_bytes_with_and_without_a_cache(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    for name, settings in (
        ("a", SETTINGS),
        ("b", SETTINGS),
        ("recomputed", replace(SETTINGS, cache_gb=0)),
        ("other", replace(SETTINGS, seed=1)),
    ):
        torch.rand(3)  # the caller's random numbers have no say
        tiny(tmp_path, settings=settings).fit(labels, progress=False).save_pretrained(tmp_path / name)
    weights = {
        name: (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("a", "b", "recomputed", "other")
    }
    assert weights["a"] == weights["b"] == weights["recomputed"] != weights["other"]
    assert (tmp_path / "a" / "config.json").read_bytes() == (tmp_path / "b" / "config.json").read_bytes()


def test_training_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    tiny(tmp_path).fit(labels, progress=False)
    assert torch.equal(torch.rand(4), expected)


def test_save_load_and_go_on(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    aligner = tiny(tmp_path).fit(labels, progress=False)
    aligner.save_pretrained(tmp_path / "model")
    loaded = Aligner.from_pretrained(tmp_path / "model")
    assert (loaded.settings, loaded.history) == (aligner.settings, aligner.history)
    pixels = torch.randn(1, 3, 16, 16)
    assert torch.equal(loaded.encoder.encode(pixels), aligner.encoder.encode(pixels))

    before = [weight.clone() for weight in loaded.encoder.head.parameters()]
    encoder = loaded.encoder
    loaded.fit(labels, progress=False)
    assert loaded.history[0].loss < aligner.history[0].loss
    # The encoder that was handed out is not trained behind its user's back.
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.head.parameters(), strict=True))


def test_wrong_training_settings_in_a_config_are_named(tmp_path: Path) -> None:
    tiny(tmp_path).fit(labelled(tmp_path, side=96), progress=False).save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    content = read_sealed_json(path)
    content["training"]["settings"]["epochs"] = 0
    write_sealed_json(path, content)
    with pytest.raises(AlignedEncoderError, match="epochs is 0: it must be a positive whole number"):
        Aligner.from_pretrained(tmp_path / "model")
    AlignedEncoder.from_pretrained(tmp_path / "model")  # to use the encoder, they do not matter


def test_nothing_trained_yet() -> None:
    with pytest.raises(RuntimeError, match="not trained: call fit"):
        _ = Aligner("tiny-test", "tiny-test").encoder


class Untouchable(TinyBackbone):
    """A backbone that no refusal may come after. A blank image, which shows the grid, is not a photograph."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.any():
            raise AssertionError("features were computed before the input was refused")
        return super().encode(pixels)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda labels: replace(labels, records=()), "there are no labels"),
        (lambda labels: replace(labels, records=labels.records[:1]), "1 were detected in 1"),
        (lambda labels: (labels.root / "coffee.png").unlink() or labels, "coffee.png cannot be read"),
        (lambda labels: ((labels.root / "coffee.png").write_bytes(b"") and labels) or labels, "was changed"),
    ],
)
def test_bad_labels_are_refused_before_any_feature(
    tmp_path: Path, spoil: Callable[[RecordedLabels], RecordedLabels], message: str
) -> None:
    aligner = Aligner(Untouchable(), TinyImageText(), settings=SETTINGS, features_dir=tmp_path / "cache")
    with pytest.raises(TrainingDataError, match=message):
        aligner.fit(spoil(labelled(tmp_path, side=96)), progress=False)
    with pytest.raises(RuntimeError, match="not trained"):
        _ = aligner.encoder


def test_a_new_head_is_of_the_kind_and_width_of_the_settings(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=1, head_kind="mlp", mlp_ratio=1.5)
    aligner = Aligner(TinyBackbone(), TinyImageText(), settings=settings, features_dir=tmp_path / "cache")
    aligner.fit(labelled(tmp_path, side=96), progress=False)
    found = aligner.encoder.head.settings
    assert (found.kind, found.hidden, found.in_dim) == ("mlp", 36, 24)
    aligner.save_pretrained(tmp_path / "head")
    loaded = AlignedEncoder.from_pretrained(tmp_path / "head", backbone=TinyBackbone())
    assert loaded.head.settings == found


class Wrong(Untouchable):
    """A backbone that gives fewer cells than its stride says."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().encode(pixels)[..., 1:]


def test_a_grid_that_does_not_fit_the_labels_is_refused_with_the_numbers(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)  # the first is 64 x 96
    aligner = Aligner(Wrong(), TinyImageText(), settings=SETTINGS, features_dir=tmp_path / "cache")
    expected = r"64 x 96 pixels are a grid of 8 x 12 patches, .* \(1, 24, 8, 12\), .* gives \(1, 24, 8, 11\)"
    with pytest.raises(ValueError, match=expected):
        aligner.fit(labels, progress=False)


def test_a_label_map_of_another_size_is_refused_with_the_numbers(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    first = labels.records[0]
    assert isinstance(first, Label)
    spoilt = replace(labels, records=(replace(first, pixels=first.pixels[:-1]), *labels.records[1:]))
    aligner = Aligner(Untouchable(), TinyImageText(), settings=SETTINGS, features_dir=tmp_path / "cache")
    with pytest.raises(
        TrainingDataError, match=r"chelsea.png .* label map is \(63, 96\), .* photograph is \(64, 96\)"
    ):
        aligner.fit(spoilt, progress=False)


def test_settings_that_ask_for_what_there_is_not_are_refused(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    for settings, message in (
        (
            replace(SETTINGS, distillation=2.0),
            "distillation 2 retains the words of a trained head, and",
        ),
        (replace(SETTINGS, validation=0.9), "validation 0.9 holds out 3 of 3 photographs"),
        (replace(SETTINGS, iou_power=1.0), "these know of no masks"),
    ):
        aligner = Aligner(Untouchable(), TinyImageText(), settings=settings, features_dir=tmp_path / "cache")
        with pytest.raises(ValueError, match=message):
            aligner.fit(labels, progress=False)
    with pytest.raises(ValueError, match="give `logs`"):
        tiny(tmp_path).fit(labels, tensorboard=True, progress=False)


def test_held_out_photographs_are_measured_after_each_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = replace(SETTINGS, validation=0.3)
    aligner = tiny(tmp_path, settings=settings).fit(labelled(tmp_path, side=96))
    plain = tiny(tmp_path).fit(labelled(tmp_path, side=96), progress=False)
    for record, other in zip(aligner.history, plain.history, strict=True):
        assert record.patches < other.patches
        assert record.validation_accuracy is not None
        assert 0 <= record.validation_accuracy <= 1
        assert other.validation_loss is None
    assert "epoch 2: held out loss" in capsys.readouterr().err


def test_labels_are_weighed_and_capped_where_the_settings_say_so(tmp_path: Path) -> None:
    """The table has similarity 0.5, the cup on it, the cat and the person 1: what takes part is counted."""
    labels = labelled(tmp_path, side=96)
    write_label_set(tmp_path / "labels", labels, similarities=(1.0, 0.5))
    seen = {}
    for name, changes in (
        ("all", {}),
        ("sure", {"similarity_power": 40.0}),
        ("capped", {"class_cap": 5}),
    ):
        settings = replace(SETTINGS, epochs=1, **changes)
        seen[name] = tiny(tmp_path, settings=settings).fit(tmp_path / "labels", progress=False).history[0]
    data = training_data(labels, SETTINGS, 8, lambda items, *_: items)
    table = sum(int((example.labels == 3).sum()) for example in data.examples)
    assert table > 20
    assert seen["sure"].patches == seen["all"].patches - table  # 0.5 to the power of 40 is as good as never
    # Five patches of each of four classes on average; the standard deviation of their sum is below 4.5.
    assert seen["all"].patches > 150
    assert 2 < seen["capped"].patches < 38


def test_the_size_of_the_features_is_said_before_any_is_computed(tmp_path: Path) -> None:
    labels = labelled(tmp_path, side=96)
    aligner = Aligner(Untouchable(), TinyImageText(), settings=SETTINGS, features_dir=tmp_path / "cache")
    # 64 x 96, 64 x 96 and 64 x 64 pixels in cells of 8, of 24 channels of two bytes.
    assert aligner.feature_gigabytes(labels) == pytest.approx((96 + 96 + 64) * 24 * 2 / 1e9)


def spread(encoder: AlignedEncoder, words: torch.Tensor, labels: RecordedLabels) -> torch.Tensor:
    """What an encoder says of words on photographs, as log-probabilities of patches."""
    maps = [
        encoder.encode(encoder.transform(load_image(labels.photograph_of(record)), size=(64, 96))[None])
        for record in labels
    ]
    return (torch.cat([each[0].flatten(1).T for each in maps]) @ words.T / 0.07).log_softmax(dim=1)


def test_distillation_retains_what_a_head_says_of_its_old_words(tmp_path: Path) -> None:
    """Photographs of a cat and a cup with old words, then of a person with new ones."""
    settings = replace(SETTINGS, epochs=12, optimizer="adamw", learning_rate=3e-3)
    labels = labelled(tmp_path, ("chelsea", "coffee"), side=96)
    tiny(tmp_path, settings=settings).fit(labels, progress=False).save_pretrained(tmp_path / "old")
    old = AlignedEncoder.from_pretrained(tmp_path / "old")
    assert old.prototypes is not None
    words = old.prototypes.vectors
    before = spread(old, words, labels)

    other = labelled(tmp_path, ("astronaut", "coffee"), side=96)
    other = replace(other, vocabulary=Vocabulary.of(["mug", "dog", "bath", "woman", "desk"]))
    changed, names = {}, {}
    for weight in (0.0, 1.0):
        tuned = Aligner.from_pretrained(
            tmp_path / "old",
            settings=replace(settings, distillation=weight),
            features_dir=tmp_path / "cache",
        ).fit(other, progress=False)
        after = spread(tuned.encoder, words, labels)
        changed[weight] = float((before.exp() * (before - after)).sum(dim=1).mean())
        assert tuned.encoder.prototypes is not None
        names[weight] = tuned.encoder.prototypes.vocabulary.names
        assert tuned.history[-1].loss < tuned.history[0].loss  # the new words are learned all the same
    assert changed[1.0] < changed[0.0] / 3
    assert names[0.0] == ("mug", "woman", "desk")
    assert names[1.0] == ("mug", "woman", "desk", "cup", "cat", "table")


def test_sizes_that_do_not_fit_are_refused_with_the_numbers(tmp_path: Path) -> None:
    head = AlignmentHead(24, 16)
    with pytest.raises(AlignedEncoderError, match=r"maps to 16 dimensions, .* has 12"):
        Aligner(TinyBackbone(), TinyImageText(12), head=head)
    by_spec = Aligner(Untouchable(), "tiny-test:12", head=head, settings=SETTINGS)
    with pytest.raises(AlignedEncoderError, match=r"maps to 16 dimensions, .*'tiny-test' has 12"):
        by_spec.fit(labelled(tmp_path, side=96), progress=False)
    with pytest.raises(AlignedEncoderError, match=r"takes 32 channels, .* gives 24"):
        Aligner(TinyBackbone(), TinyImageText(), head=AlignmentHead(32, 16))
    with pytest.raises(ValueError, match=r"image_size 4 is less than one patch of 'tiny-test', which is 8"):
        Aligner(TinyBackbone(), TinyImageText(), settings=replace(SETTINGS, image_size=4))


def test_misspelt_models_are_told_at_once() -> None:
    with pytest.raises(UnknownNameError, match="tiny-test"):
        Aligner("tiny-tset", "tiny-test")
    with pytest.raises(UnknownNameError, match="conse"):
        Aligner("tiny-test", "cones")


def test_a_training_that_diverges_leaves_a_usable_encoder(tmp_path: Path) -> None:
    aligner = tiny(tmp_path, settings=replace(SETTINGS, learning_rate=1e38))
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, batch 2: .*\.png"):
        aligner.fit(labelled(tmp_path, side=96), progress=False)
    assert aligner.history == ()
    assert aligner.encoder.encode(torch.randn(1, 3, 16, 16)).isfinite().all()


def test_progress_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny(tmp_path).fit(labelled(tmp_path, side=96))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "kept in" in captured.err
    assert "epoch 2/2" in captured.err


@pytest.mark.long
def test_offline_models_learn_three_photographs_bit_for_bit(tmp_path: Path) -> None:
    """From boxes around a cat, a cup on a table and a person to the words for them, with real models."""
    labels = labelled(tmp_path)
    backbone, text = BACKBONES.create("efficientnet_lite2"), IMAGE_TEXT.create("conse")
    settings = TrainingSettings(epochs=8, batch_size=3, image_size=224, text_weight=1.0)
    for name in ("a", "b"):
        aligner = Aligner(backbone, text, settings=settings, features_dir=tmp_path / "cache", device="cpu")
        aligner.fit(labels, progress=False).save_pretrained(tmp_path / name)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

    encoder = AlignedEncoder.from_pretrained(tmp_path / "a", backbone=backbone, text_encoder=text)
    words = encoder.encode_text(WORDS)
    for record, expected in zip(labels, (CAT, CUP, PERSON), strict=True):
        pixels = encoder.transform(load_image(labels.photograph_of(record)), size=(224, 320))[None]
        similarity = torch.einsum("bdhw,kd->bkhw", encoder.encode(pixels), words)
        found = functional.interpolate(similarity, record.size, mode="bilinear").argmax(dim=1)[0].numpy()
        truth = record.label_map() == expected
        assert (found[truth] == expected).mean() > 0.8
        assert not np.isin(found, BATHTUB).mean() > 0.05
        assert (found[truth] == TABLE).mean() < 0.2


def test_a_head_to_start_from_is_kept_or_trained_as_cross_validation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = labelled(tmp_path, side=96)
    monkeypatch.setattr("fmbseg.alignment.selection._FEWEST", 2)
    first = tiny(tmp_path).fit(labels, progress=False)
    first.save_pretrained(tmp_path / "first")
    settings = replace(SETTINGS, cross_validation=2)
    outcomes = {}
    for epochs in (1, 0):
        monkeypatch.setattr(
            "fmbseg.alignment.selection.choose",
            lambda counts, epochs=epochs: replace(choose(counts), epochs=epochs),
        )
        aligner = Aligner.from_pretrained(
            tmp_path / "first", settings=settings, features_dir=tmp_path / "cache"
        )
        outcomes[epochs] = aligner.fit(labels, progress=False)
    trained, kept = outcomes[1], outcomes[0]
    assert trained.selection is not None
    assert len(trained.history) == trained.selection.epochs == 1
    assert trained.encoder.config.training["selection"]["epochs"] == trained.selection.epochs
    assert kept.selection is not None
    assert (kept.selection.epochs, kept.history) == (0, ())
    config = kept.encoder.config
    assert config.training["kept"]["selection"] == kept.selection.to_dict()
    assert replace(config, training={}) == replace(first.encoder.config, training={})
    for name, weight in first.encoder.head.state_dict().items():
        torch.testing.assert_close(kept.encoder.head.state_dict()[name], weight, rtol=0, atol=0)
