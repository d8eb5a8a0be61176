"""The ablations: which trials there are, their sums, and a small run that is stopped and goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from benchmarks.ablations import RememberingBackbone, Trial, key_of, main, markdown, parse, summary, trials
from fmbseg.alignment.settings import TrainingSettings
from tests.aligned.tiny import TinyBackbone
from tests.benchmarks.test_quality_offline import make_data
from tests.models.photographs import photograph

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = ["--data", "d", "--labels", "l"]
BASE = TrainingSettings(head_kind="mlp")


def test_each_part_is_changed_alone() -> None:
    few = [
        "--losses",
        "tsupcon,clip",
        "--heads",
        "mlp,linear",
        "--temperatures",
        "0.07,1",
        "--sources",
        "1.2",
        "--changes",
        '[{"class_cap": 9}]',
    ]
    found = trials(BASE, parse([*GIVEN, *few]))
    assert found == [
        Trial(BASE, "both"),
        Trial(replace(BASE, loss="clip"), "both"),
        Trial(replace(BASE, head_kind="linear"), "both"),
        Trial(replace(BASE, temperature=1.0), "both"),
        Trial(BASE, "1.2"),
        Trial(replace(BASE, class_cap=9), "both"),
    ]


def test_an_image_is_encoded_once() -> None:
    class Counting(TinyBackbone):
        count = 0

        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            self.count += len(pixels)
            return super().encode(pixels)

    backbone = Counting()
    remembering = RememberingBackbone(backbone)
    first, second, third = torch.rand(3, 3, 16, 24)
    torch.testing.assert_close(
        remembering.encode(torch.stack([first, second])), backbone.encode(torch.stack([first, second]))
    )
    backbone.count = 0
    again = remembering.encode(torch.stack([third, first]))
    assert backbone.count == 1
    torch.testing.assert_close(again, backbone.encode(torch.stack([third, first])))


def test_all_combinations() -> None:
    found = trials(BASE, parse([*GIVEN, "--all-combinations"]))
    assert found[0] == Trial(BASE, "both")
    assert len(found) == len(set(found)) == 6 * 5 * 4 * 3


def test_a_key_names_one_head_only() -> None:
    trial = Trial(BASE, "both")
    others = [
        Trial(replace(BASE, seed=1), "both"),
        Trial(replace(BASE, loss="clip"), "both"),
        Trial(BASE, "1.1"),
    ]
    keys = {key_of(one, ["labels"]) for one in (trial, *others)} | {key_of(trial, ["other labels"])}
    assert len(keys) == 5
    assert key_of(Trial(replace(BASE), "both"), ["labels"]) in keys


def results(*scores: float) -> list[dict[str, Any]]:
    return [{"miou": score, "parameters": 1234} for score in scores]


def test_mean_and_spread_over_the_seeds_and_the_table() -> None:
    rows = [
        summary(Trial(BASE, "both"), BASE, results(0.10, 0.12, 0.14)),  # squares 4, 0 and 4 over 2: 0.02
        summary(Trial(replace(BASE, loss="clip"), "both"), BASE, results(0.05)),
        summary(Trial(replace(BASE, class_cap=9, seed=4), "both"), BASE, results(0.15)),
    ]
    assert (rows[0]["miou"], rows[0]["spread"]) == (0.12, 0.02)
    assert (rows[1]["miou"], rows[1]["spread"]) == (0.05, None)
    assert markdown(rows).splitlines()[2:] == [
        "| tsupcon | mlp | 0.07 | both |  | 1,234 | 0.1200 ± 0.0200 |  |",
        "| **clip** | mlp | 0.07 | both |  | 1,234 | 0.0500 | -0.0700 |",
        "| tsupcon | mlp | 0.07 | both | **class_cap 9** | 1,234 | 0.1500 | +0.0300 |",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ["--data", "d"],
        ["--data", "d", "--labels", "l", "--pool", "p"],
        [*GIVEN, "--sources", "1.3"],
        [*GIVEN, "--seeds", ""],
        [*GIVEN, "--limit", "0"],
    ],
)
def test_a_command_that_cannot_be_run(command: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(command)


@pytest.mark.long
def test_labels_that_are_made_or_given_and_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data")
    (tmp_path / "pool").mkdir()
    for index, name in enumerate(["chelsea.png", "coffee.png"]):
        Image.fromarray(photograph(name)).resize((160, 120)).save(tmp_path / f"pool/{index}.png")
    (tmp_path / "words.txt").write_text("tabby cat\nespresso\n")

    def run(*command: str) -> tuple[list[str], dict[str, Any]]:
        training = ["--training", '{"epochs": 1, "image_size": 96, "dense_weight": 0}']
        fixed = [
            "--data",
            "data",
            "--work",
            "work",
            "--heads",
            "linear",
            "--temperatures",
            "",
            "--seeds",
            "0,1",
        ]
        main([*fixed, *training, *command])
        *table, last = capsys.readouterr().out.splitlines()
        return table, json.loads(last)

    labelling = [
        "--vocabulary",
        "words.txt",
        "--mask-generator",
        "superpixels",
        "--labeling",
        '{"min_crops": 1}',
    ]
    table, first = run("--pool", "pool", *labelling, "--losses", "tsupcon", "--sources", "")
    assert [row["head"] for row in first["rows"]] == ["mlp", "linear"]
    assert len(table) == 4
    assert first["trained"]["photographs"] == 2
    assert first["measured"] == {"photographs": 2, "classes": 3}
    for row in first["rows"]:
        scores = [seed["miou"] for seed in row["seeds"]]
        assert len(scores) == 2
        assert all(0 <= score <= 1 for score in scores)
    assert first["rows"][0]["seeds"][0]["loss"] != first["rows"][0]["seeds"][1]["loss"]

    journal = tmp_path / "work/trials.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    journal.write_text("".join(lines[:3]) + lines[3][:20])  # as a kill leaves it
    _, second = run("--labels", "work/labels", "--losses", "cross_entropy", "--sources", "1.2")
    again = journal.read_text().splitlines(keepends=True)
    assert again[:3] == lines[:3]
    # Both rows from before, of which the last seed is fitted anew, then the loss and the masks.
    assert len(again) == 3 + 1 + 2 + 2
    assert second["rows"][0] == first["rows"][0]
    assert second["rows"][2]["head"] == "linear"
    assert second["rows"][2]["miou"] == first["rows"][1]["miou"]
    # Superpixels take no points, so all masks are of stage 1.2.
    assert second["rows"][3]["masks"] == "1.2"
    assert second["rows"][3]["miou"] == second["rows"][0]["miou"]
