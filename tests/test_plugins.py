"""A package of somebody else, installed by pip: found, listed, used, and refused where it lacks methods."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "plugin_package"
REPOSITORY = HERE.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package was installed to."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(SOURCE, folder / "source")  # building writes beside the source
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--quiet", "--target", str(folder / "site"), str(folder / "source")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def run(code: str, installed: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{REPOSITORY}", "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_backbone_is_found_used_and_described(installed: Path) -> None:
    said = run(
        """
import torch
from fmbseg.models.describe import describe_backbone
from fmbseg.models.registries import BACKBONES, CONCEPTS, IMAGE_TEXT, MASK_GENERATORS
assert "colours" in BACKBONES.names() and "half-an-encoder" in IMAGE_TEXT.names()
assert CONCEPTS.create("primaries:80").spec == "primaries:80"
assert MASK_GENERATORS.create("everything").promptable is False
backbone = BACKBONES.create("colours:2")
print(backbone.encode(torch.full((1, 3, 32, 48), 0.25))[0, 0].tolist())
print(describe_backbone("colours:2")["spec"], BACKBONES.create(backbone.spec).spec)
""",
        installed,
    )
    assert said.splitlines() == ["[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]", "colours:2 colours:2"]


ROLES = ("Backbones", "Mask generators")


def test_the_command_line_lists_it(installed: Path) -> None:
    code = "import sys; sys.argv[1:] = ['models', 'list']; from fmbseg.cli.main import main; main()"
    said = run(code, installed)
    backbones, masks = (said.partition(f"{role}\n")[2].partition("\n\n")[0] for role in ROLES)
    assert re.search(r"^  colours +by spec .*\n +of another package$", backbones, re.MULTILINE)
    assert re.search(r"^  everything +by spec .*\n +of another package$", masks, re.MULTILINE)


def test_a_head_on_it_is_saved_and_comes_back(installed: Path, tmp_path: Path) -> None:
    said = run(
        f"""
import torch
from fmbseg.aligned.encoder import AlignedEncoder
from fmbseg.aligned.head import AlignmentHead
from fmbseg.models.registries import BACKBONES
encoder = AlignedEncoder(BACKBONES.create("colours:2"), AlignmentHead(3, 8, heads=1), "conse-like")
encoder.save_pretrained({str(tmp_path)!r})
again = AlignedEncoder.from_pretrained({str(tmp_path)!r})
pixels = torch.rand(1, 3, 32, 32)
print(again.backbone.spec, torch.equal(again.encode(pixels), encoder.encode(pixels)))
""",
        installed,
    )
    assert said.split() == ["colours:2", "True"]


@pytest.mark.parametrize(
    ("registry", "name", "lacks"),
    [
        (
            "BACKBONES",
            "half-a-backbone",
            "which lacks methods: to(device); attributes: spec, native_size, license, transform",
        ),
        ("IMAGE_TEXT", "half-an-encoder", "a HalfAnEncoder, which lacks methods: encode_image(crops) "),
        ("MASK_GENERATORS", "half-a-generator", "which lacks methods: begin(image); attributes: license "),
    ],
)
def test_what_lacks_methods_is_refused_with_all_of_them(
    installed: Path, registry: str, name: str, lacks: str
) -> None:
    said = run(
        f"""
from fmbseg.models.registries import {registry}
try:
    {registry}.create({name!r})
except TypeError as error:
    print(type(error).__name__, error)
""",
        installed,
    )
    assert said.startswith("ContractError")
    assert lacks in said
    assert "fmbseg_incomplete:Half" in said  # where it is from


def test_without_the_package_the_name_is_unknown() -> None:
    said = run(
        """
from fmbseg.models.registries import BACKBONES
try:
    BACKBONES.create("colours")
except KeyError as error:
    print(error)
""",
        REPOSITORY,
    )
    assert said.startswith("there is no backbone 'colours'")


def test_the_page_shows_the_very_plugin_that_is_installed_here() -> None:
    page = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, lines in (("fmbseg_colours.py", 30), ("fmbseg_primaries.py", 50)):
        source = (SOURCE / name).read_text(encoding="utf-8")
        assert source in blocks
        assert len(source.splitlines()) < lines
