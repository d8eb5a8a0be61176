import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fmbseg.cli.main import app
from fmbseg.cli.segment import target_names
from tests.cli.conftest import Chain
from tests.cli.photographs import read_classes, write_photographs

pytestmark = pytest.mark.long  # the fixture `chain` labels and trains

RUNNER = CliRunner()


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs")
    return tmp_path / "photographs" / "cat.png"


def test_each_image_gets_a_class_map_an_overlay_and_a_line(chain: Chain, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("cat\nspacecraft\npylon\n", encoding="utf-8")
    out = tmp_path / "out"
    result = RUNNER.invoke(
        app,
        [
            *("segment", str(chain.photographs), "--vocabulary", str(words)),
            *("--head", str(chain.head), "--out", str(out)),
        ],
    )
    assert result.exit_code == 0  # notes.jpg is told, but fails only a strict run
    assert "not segmented: " in result.stderr
    assert "notes.jpg is not an image" in result.stderr
    *lines, summary = result.stdout.splitlines()
    assert summary.startswith("2 images: ")
    assert [line.split(":")[0] for line in lines] == [
        str(chain.photographs / "cat.png"),
        str(chain.photographs / "rocket.jpg"),
    ]
    assert (out / "classes.txt").read_text().split() == ["background", "cat", "spacecraft", "pylon"]
    for name in ("cat", "rocket"):
        values = read_classes(out / f"{name}_classes.png")
        assert values.shape == (160, 240)
        assert values.max() <= 3
        with Image.open(out / f"{name}_overlay.jpg") as overlay:
            assert overlay.width > 240  # the legend stands to the right


def test_strict_fails_after_doing_what_can_be_done(photograph: Path, head: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app,
        [
            *("segment", str(photograph), str(tmp_path / "missing.jpg")),
            *("--classes", "cat,dog", "--head", str(head), "--out", str(tmp_path), "--strict"),
        ],
    )
    assert result.exit_code == 1
    assert "missing.jpg does not exist" in result.stderr
    assert (tmp_path / "cat_classes.png").is_file()


def test_no_image_at_all_is_an_error(chain: Chain, tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app,
        ["segment", str(tmp_path), "--classes", "cat,dog", "--head", str(chain.head), "--out", str(tmp_path)],
    )
    assert result.exit_code == 1
    assert "no image in the folder" in result.stderr


def test_an_example_takes_the_place_of_paths(chain: Chain, tmp_path: Path) -> None:
    command = ["segment", "--classes", "cat,dog", "--head", str(chain.head), "--out", str(tmp_path)]
    result = RUNNER.invoke(app, [*command, "--example"])
    assert result.exit_code == 0
    with Image.open(tmp_path / "chelsea_classes.png") as classes:
        assert classes.size == (451, 300)
    without = RUNNER.invoke(app, command)
    assert without.exit_code == 2
    assert "--example" in without.stderr


def test_a_result_never_replaces_an_image(chain: Chain, tmp_path: Path) -> None:
    for name in ("cat.png", "cat_classes.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    before = (tmp_path / "cat_classes.png").read_bytes()
    result = RUNNER.invoke(
        app,
        ["segment", str(tmp_path), "--classes", "cat,dog", "--head", str(chain.head), "--out", str(tmp_path)],
    )
    assert result.exit_code == 1
    assert "cat_classes.png exists, and fmbseg did not write it" in result.stderr
    assert (tmp_path / "cat_classes.png").read_bytes() == before


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a/cat.jpg"], ["cat"]),
        (["a/cat.jpg", "a/cat.png"], ["cat.jpg", "cat.png"]),
        (["a/cat.jpg", "b/cat.jpg"], ["a/cat", "b/cat"]),
        (["a/b/x.y.jpg", "a/dog.jpg"], ["b/x.y", "dog"]),
    ],
)
def test_results_are_named_after_their_images_and_never_alike(images: list[str], names: list[str]) -> None:
    found = target_names([Path(image) for image in images])
    assert [name.as_posix() for name in found.values()] == names


def test_background_heat_maps_and_outlines(chain: Chain, tmp_path: Path) -> None:
    command = ["segment", str(chain.photographs / "cat.png"), "--classes", "cat,old tower"]
    options = ["--background", "softmax", "--threshold", "0.6", "--temperature", "0.05"]
    options += ["--whole", "--mirror", "--preserve", "0.5", "--scale", "0.25", "--scale", "0.5"]
    extras = ["--heatmap", "old tower", "--geojson", "--refine", "pamr", "--margin", "0.001"]
    where = ["--head", str(chain.head), "--out", str(tmp_path)]
    result = RUNNER.invoke(app, [*command, *options, *extras, *where])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "classes.txt").read_text() == "background\ncat\nold tower\n"
    with Image.open(tmp_path / "cat_heatmap_old_tower.jpg") as heatmap:
        assert heatmap.size == (240, 160)
    outlines = json.loads((tmp_path / "cat_outlines.geojson").read_text())
    values = read_classes(tmp_path / "cat_classes.png")
    for feature in outlines["features"]:
        assert feature["properties"]["area"] == (values == feature["properties"]["index"]).sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--background", "colour"], "rule is 'colour': it must be one of"),
        (["--background", "similarity"], "threshold is None: it must be a number with the rule"),
        (["--heatmap", "dogs"], "there is no class 'dogs'; did you mean 'dog'?"),
        (["--refine", "region"], "there is no refinement 'region'; did you mean 'regions'?"),
        (["--refine", "snap:mobilsam"], "did you mean 'mobilesam'?"),
    ],
)
def test_options_that_make_no_sense_are_told_before_a_model_is_loaded(
    tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the head was loaded")

    monkeypatch.setattr("fmbseg.cli.heads.load_segmenter", refuse)
    Image.new("RGB", (32, 32)).save(tmp_path / "cat.png")
    command = ["segment", str(tmp_path / "cat.png"), "--classes", "cat,dog", *options]
    result = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    assert result.exit_code == 1
    assert message in result.stderr


def test_masks_are_named(chain: Chain, tmp_path: Path) -> None:
    command = ["segment", str(chain.photographs / "cat.png"), "--classes", "cat,ear,blanket,dog"]
    command += ["--plain", "--certainty", "0"]
    plain = RUNNER.invoke(app, [*command, "--out", str(tmp_path / "plain")])
    named = RUNNER.invoke(app, [*command, "--refine", "masks:superpixels", "--out", str(tmp_path / "named")])
    assert (plain.exit_code, named.exit_code) == (0, 0), named.output
    before, after = (read_classes(tmp_path / one / "cat_classes.png") for one in ("plain", "named"))
    assert after.max() <= 4  # background by itself, then the four
    assert 0 < (before != after).mean() < 0.5
    alone = RUNNER.invoke(
        app, [*command, "--refine", "cutouts:superpixels", "--out", str(tmp_path / "alone")]
    )
    assert alone.exit_code == 0, alone.output
    looked = read_classes(tmp_path / "alone" / "cat_classes.png")
    assert set(looked.ravel().tolist()) <= set(range(5))
    assert (looked == 0).sum() > (after == 0).sum()  # what is hardly told from background is background
    asked = RUNNER.invoke(app, [*command, "--refine", "regions:superpixels", "--out", str(tmp_path / "x")])
    assert asked.exit_code == 1
    assert "'superpixels' takes no prompts, so it cannot be asked for the masks of regions" in asked.stderr


def test_a_head_on_the_hub_that_cannot_be_reached(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    command = ["segment", str(chain.photographs / "cat.png"), "--classes", "cat,dog", "--out", "out"]
    result = RUNNER.invoke(app, [*command, "--head", "nobody/no-such-head"])
    assert result.exit_code == 1
    assert "nobody/no-such-head: config.json is neither in the cache" in result.stderr
