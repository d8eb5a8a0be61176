"""A launcher starts two processes, and their head is that of one process with twice the batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import distributed

from fmbseg.aligned.files import WEIGHTS_FILE
from fmbseg.alignment.aligner import Aligner
from fmbseg.alignment.settings import TrainingSettings
from tests.aligned.tiny import TinyBackbone, TinyImageText
from tests.alignment.photographs import labelled

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = TrainingSettings(epochs=2, batch_size=1, image_size=64, learning_rate=0.01)
SCRIPT = """
import sys
from pathlib import Path
from tests.alignment.test_launch import SETTINGS, fitted
folder = Path(sys.argv[1])
aligner = fitted(folder, SETTINGS)
aligner.save_pretrained(folder / f"head-{aligner.main_process}")
"""


def fitted(folder: Path, settings: TrainingSettings) -> Aligner:
    """Train on the photographs of a folder; the launched processes find them written."""
    aligner = Aligner(
        TinyBackbone(), TinyImageText(), settings=settings, features_dir=folder / "cache", device="cpu"
    )
    return aligner.fit(
        folder / "labels",
        checkpoint=folder / f"kept-{settings.batch_size}",
        logs=folder / f"logs-{settings.batch_size}",
        progress=False,
    )


@pytest.mark.long
@pytest.mark.skipif(not distributed.is_gloo_available(), reason="needs gloo on a POSIX system")
def test_two_launched_processes_share_a_training(tmp_path: Path) -> None:
    from tests.alignment.test_aligner import write_label_set

    pytest.importorskip("accelerate")
    write_label_set(tmp_path / "labels", labelled(tmp_path, side=96))
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "train.py"), str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    parts = list((tmp_path / "cache").glob("*/part-*.f16"))
    assert len(parts) == 2  # each computed a share of the features
    assert (tmp_path / "kept-1" / "training.pt").is_file()
    assert len((tmp_path / "logs-1" / "steps.csv").read_text().splitlines()) == 1 + 2 * 2

    alone = fitted(tmp_path, replace(SETTINGS, batch_size=2))
    alone.save_pretrained(tmp_path / "alone")
    expected = load_file(tmp_path / "alone" / WEIGHTS_FILE)
    for name in ("head-True", "head-False"):
        found = load_file(tmp_path / name / WEIGHTS_FILE)
        for key, weight in expected.items():
            assert (found[key] - weight).abs().max() < 1e-5, key
    history = json.loads((tmp_path / "head-True" / "config.json").read_text())["training"]["history"]
    for record, other in zip(history, alone.history, strict=True):
        assert record["loss"] == pytest.approx(other.loss, rel=1e-4)
