"""The benchmark on a folder made here: what it prints, that it goes on where it stopped, and its sums."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from benchmarks.quality_offline import main, parse, summary
from benchmarks.quality_offline import run as run_benchmark
from fmbseg.recipes import RECIPES
from tests.models.photographs import photograph

SEGMENTED = ["aligned_alone", "aligned_mixed", "aligned"]
SMALL = '{"min_crops": 1, "short_side": 224, "scales": [1.0, 1.5]}'
VARIANTS = ["dense", "dense_stage1", "stage1_1", "stage1_2", "both", *SEGMENTED]


def row(key: str, **changes: Any) -> dict[str, Any]:
    counts = {name: [[0, 0, 6], [0, 2, 2], [1, 0, 1], [1, 1, 3]] for name in VARIANTS}
    return {
        "id": key,
        "seconds": dict.fromkeys(VARIANTS, 1.5),
        "counts": counts,
        "named": [0],
        "there": [0, 1],
        **changes,
    }


def test_the_summary_adds_up_pixels_and_not_images() -> None:
    other = row("b", counts={name: [[1, 1, 90], [0, 2, 10]] for name in VARIANTS}, named=[0, 1], there=[1])
    found = summary([row("a"), other], 2, promptable=True)
    # Class 0: 6 right, 18 there, 1 of class 1 taken for it. Class 1: 93 right of 94, none taken for it.
    assert found["both"]["miou"] == pytest.approx((6 / 19 + 93 / 94) / 2, abs=1e-5)
    assert found["both"]["seconds_per_image"] == 1.5
    assert found["ratio"] == found["stage1_ratio"] == 1.0
    assert found["presence"] == {"precision": round(2 / 3, 5), "recall": round(2 / 3, 5)}
    assert found["measured"] == {"photographs": 2, "classes": 2, "classes_present": 2}


def test_without_prompts_there_is_no_figure_for_stage_1_1() -> None:
    found = summary([row("a")], 2, promptable=False)
    assert found["stage1_1"] == {"miou": None, "seconds_per_image": None, "pixel_accuracy": None}
    assert found["stage1_2"]["miou"] is not None


def test_a_ratio_to_nothing_is_none() -> None:
    wrong = {name: [[0, 1, 5]] for name in VARIANTS}
    found = summary([row("a", counts=wrong)], 2, promptable=True)
    assert found["dense"]["miou"] == 0
    assert found["ratio"] is None


def test_the_default_work_folder_depends_on_the_limit(tmp_path: Path) -> None:
    given = ["--data", "d", "--pool", "p"]
    assert parse(given).work == Path("runs/quality_offline/all")
    assert parse([*given, "--limit", "5"]).work == Path("runs/quality_offline/first-5")
    out = tmp_path / "result.json"
    assert parse([*given, "--out", str(out)]).work == tmp_path / "result" / "all"
    for wrong in ([*given, "--limit", "0"], given[:2], [*given, "--head", "offline"]):
        with pytest.raises(SystemExit):
            parse(wrong)


def make_data(folder: Path) -> None:
    """Two photographs with rough masks: the cat, and the cup with the spoon."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "classes.txt").write_text("0\tbackground\n1\tcat\n2\tcup\n3\tspoon\n255\tignore\n")
    (folder / "manifest.csv").write_text("id,fold\ncat,val\ncup,val\n")
    for key, name, boxes in (
        ("cat", "chelsea.png", [(1, 0.2, 0.9, 0.2, 0.8)]),
        ("cup", "coffee.png", [(2, 0.1, 0.8, 0.3, 0.7), (3, 0.5, 0.9, 0.75, 0.95)]),
    ):
        image = Image.fromarray(photograph(name)).resize((160, 120))
        image.save(folder / "images" / f"{key}.jpg")
        mask = np.zeros((120, 160), dtype=np.uint8)
        mask[:, :10] = 255
        for value, top, bottom, left, right in boxes:
            mask[int(top * 120) : int(bottom * 120), int(left * 160) : int(right * 160)] = value
        Image.fromarray(mask).save(folder / "masks" / f"{key}.png")


def run(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    command = ["--data", "data", "--pool", "pool", "--limit", "2", "--out", "out/result.json"]
    options = ["--mask-generator", "superpixels", "--training", '{"epochs": 2, "image_size": 128}']
    main([*command, *options, "--vocabulary", "words.txt", "--labeling", SMALL])
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads(Path("out/result.json").read_text()) == result
    return result


@pytest.mark.long
def test_the_whole_chain_and_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = RECIPES["offline"]
    windows = replace(offline.segmenting.windows, short_side=224)
    small = replace(offline, segmenting=replace(offline.segmenting, windows=windows))
    monkeypatch.setitem(RECIPES, "offline", small)
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data")
    (tmp_path / "pool" / "images").mkdir(parents=True)
    for index, name in enumerate(["chelsea.png", "coffee.png", "astronaut.png"]):
        Image.fromarray(photograph(name)).resize((160, 120)).save(tmp_path / f"pool/images/{index}.png")
    (tmp_path / "words.txt").write_text("tabby cat\nespresso\nspace shuttle\n")

    first = run(capsys)
    assert first["mask_generator"] == "superpixels"
    assert first["trained"]["photographs"] == 2
    assert first["trained"]["measured_names_among_them"] == 0
    assert len(first["trained"]["loss"]) == 2
    assert first["measured"] == {"photographs": 2, "classes": 3, "classes_present": 3}
    assert first["stage1_1"]["miou"] is None
    for variant in ("dense", "stage1_2", "both", *SEGMENTED):
        assert 0 <= first[variant]["miou"] <= 1
        assert first[variant]["seconds_per_image"] > 0
    assert first["both"]["miou"] == first["stage1_2"]["miou"]
    assert {"torch", "fmbseg", "python"} <= first["versions"].keys()

    work = tmp_path / "out/result/first-2"
    (journal,) = work.glob("measured-*.jsonl")
    kept = {
        path: path.stat().st_mtime_ns
        for path in (work / "head/model.safetensors", work / "labels/manifest.json")
    }
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 2
    journal.write_text(lines[0] + lines[1][:50])  # as a kill leaves it
    second = run(capsys)
    again = journal.read_text().splitlines(keepends=True)
    assert again[0] == lines[0]
    for variant in ("dense", "both", "aligned"):
        assert second[variant]["miou"] == first[variant]["miou"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    check_dense_map(tmp_path, first)

    command = [
        "--data",
        str(tmp_path / "data"),
        "--head",
        str(work / "head"),
        "--work",
        str(tmp_path / "other"),
    ]
    head = run_benchmark(parse([*command, "--mask-generator", "superpixels", "--labeling", SMALL]))
    assert head["trained"]["photographs"] == 2
    for name in VARIANTS:
        assert head[name]["miou"] == first[name]["miou"]


def check_dense_map(tmp_path: Path, result: dict[str, Any]) -> None:
    """The figure of the dense map, worked out anew with scikit-learn."""
    import torch.nn.functional as F  # noqa: N812 - the name everybody uses

    from fmbseg.labeling.description import describe
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.image_text.conse import conse

    encoder, settings = conse(), LabelingSettings(**{**result["settings"]["labeling"], "scales": (1.0,)})
    texts = encoder.encode_text([f"a photo of a {name}." for name in ("cat", "cup", "spoon")])
    wanted, given = [], []
    for key in ("cat", "cup"):
        image = np.asarray(Image.open(tmp_path / f"data/images/{key}.jpg"))
        mask = np.asarray(Image.open(tmp_path / f"data/masks/{key}.png"))
        similarity = (texts @ describe(image, encoder, settings).dense.flatten(1)).reshape(3, 7, -1)
        whole = F.interpolate(similarity[None], mask.shape, mode="bilinear")[0].argmax(dim=0).numpy()
        counted = (mask != 0) & (mask != 255)
        wanted.append(mask[counted] - 1)
        given.append(whole[counted])
    expected = jaccard_score(np.concatenate(wanted), np.concatenate(given), average="macro", labels=[0, 1, 2])
    assert result["dense"]["miou"] == pytest.approx(expected, abs=2e-3)
