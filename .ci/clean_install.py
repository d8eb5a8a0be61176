"""What somebody gets who installs the wheel alone: built here, installed into a new environment, used there.

`python .ci/clean_install.py` takes the newest versions of the base requirements, and with
`--constraints .ci/oldest.txt` the oldest that pyproject.toml allows. The development environment's Python
runs it and pushes a head to a Hub on loopback; the new environment pulls it and must give the same class map,
bit for bit where both have the same PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hub.server import Hub, running_hub  # noqa: E402 - needs nothing but the path above

WORDS = ("cat", "dog", "sofa")
ENOUGH = 0.99  # of the pixels, where another PyTorch rounds otherwise

INSIDE = """
import importlib, importlib.metadata, pkgutil, sys
import fmbseg
assert fmbseg.__file__.startswith(sys.prefix), fmbseg.__file__
for name in fmbseg.__all__:
    getattr(fmbseg, name)
for module in pkgutil.walk_packages(fmbseg.__path__, "fmbseg."):
    importlib.import_module(module.name)
extras = ("onnx", "onnxruntime", "scikit-image", "imgviz", "datasets", "accelerate", "gradio", "ray")
installed = {one.metadata["Name"].lower() for one in importlib.metadata.distributions()}
assert not installed & set(extras), installed & set(extras)
print(f"{len(fmbseg.__all__)} public names, {len(installed)} distributions, torch",
      importlib.metadata.version("torch"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, help="a file of versions for the new environment")
    constraints = parser.parse_args().constraints
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        work = Path(folder)
        wheel = build(work / "dist")
        python = install(work / "venv", wheel, constraints)
        say(run([python, "-c", INSIDE], work, hub))
        say(run([python.with_name("fmbseg"), "--help"], work, hub).strip().splitlines()[0])
        expected = push(hub, work)
        pull(hub, work, python, expected)


def build(out: Path) -> Path:
    """Build the sdist, and the wheel from it; look into both."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, ROOT], check=True, stdout=subprocess.DEVNULL
    )
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"fmbseg/py.typed", "fmbseg/cli/main.py"} <= held, held
    assert all(name.startswith("fmbseg") for name in held), held
    with tarfile.open(sdist) as archive:
        kept = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "tests/hub/server.py"} <= kept, kept
    say(f"{wheel.name}: {len(held)} files; {sdist.name}: {len(kept)}")
    return wheel


def install(folder: Path, wheel: Path, constraints: Path | None) -> Path:
    """Install the wheel and its base requirements into a new environment."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    limits = [] if constraints is None else ["--constraint", constraints.resolve()]
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *limits, wheel]
    subprocess.run(command, check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
    return python


def push(hub: Hub, work: Path) -> Path:
    """Here: put an encoder on the Hub, push a head over it, and keep its class map."""
    os.environ.update(environment(hub, work / "maker"), HF_TOKEN="hf_alice", HF_HUB_DISABLE_XET="1")
    import numpy as np
    from PIL import Image

    from fmbseg import OpenVocabSegmenter
    from fmbseg.models.registries import BACKBONES
    from tests.hub.heads import make_encoder
    from tests.models.backbones.tiny_models import dinov2_folder

    hub.put(
        "bob/encoder", {file.name: file.read_bytes() for file in dinov2_folder(work / "dinov2").iterdir()}
    )
    segmenter = OpenVocabSegmenter(make_encoder(backbone=BACKBONES.create("timm:hf-hub:bob/encoder")))
    image = np.random.default_rng(0).integers(0, 256, (160, 240, 3), np.uint8)
    Image.fromarray(image).save(work / "photograph.png")
    np.save(work / "photograph.npy", image)
    np.save(work / "expected.npy", segmenter.segment(image, WORDS).labels)
    say(segmenter.push_to_hub("alice/head"))
    return work / "expected.npy"


def pull(hub: Hub, work: Path, python: Path, expected: Path) -> None:
    """There: pull and segment, in Python and on the command line; compare."""
    import numpy as np
    from PIL import Image

    newcomer = ROOT / "tests" / "hub" / "newcomer.py"
    run([python, newcomer, "alice/head", work / "photograph.npy", work / "map.npy", *WORDS], work, hub)
    fmbseg = python.with_name("fmbseg")
    run([fmbseg, "pull", "alice/head", "--out", "head"], work, hub)
    options = ["--classes", ",".join(WORDS), "--background", "none", "--head", "head", "--out", "results"]
    run([fmbseg, "segment", "photograph.png", *options], work, hub)
    (png,) = (work / "results").rglob("*.png")
    wanted = np.load(expected)
    same = run([python, "-c", "import torch; print(torch.__version__)"], work, hub).strip() == torch_version()
    for name, found in (
        ("from Python", np.load(work / "map.npy")),
        ("from the command", np.asarray(Image.open(png))),
    ):
        share = float((found == wanted).mean())
        say(f"class map {name}: {share:.2%} of the pixels as where it was pushed")
        assert share == 1 if same else share >= ENOUGH, name


def torch_version() -> str:
    import torch

    return str(torch.__version__)


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """Variables of a client that has never been used."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "FMBSEG_HOME": str(home / "fmbseg"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def run(command: list[str | Path], work: Path, hub: Hub) -> str:
    """Run something of the new environment, away from the repository and its packages."""
    hidden = ("HF_", "FMBSEG", "PYTHON", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    done = subprocess.run(
        command,
        cwd=work,
        env={**kept, **environment(hub, work / "newcomer")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command[:3]))} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def say(text: str) -> None:
    print(text.strip(), flush=True)


if __name__ == "__main__":
    main()
