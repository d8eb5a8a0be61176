"""The job for Kubernetes on the page about many machines: what it is made of, and the command it runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import typer
import yaml

from fmbseg.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "many_machines.md"


def test_the_job_for_kubernetes_is_one_and_its_command_exists() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    job: dict[str, Any] = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"  # the head labels nothing
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["fmbseg", "label"]
    label = typer.main.get_command(app).commands["label"]  # type: ignore[attr-defined]
    asked = label.make_context("label", words[2:], resilient_parsing=False).params
    assert asked["engine"].value == "ray"
    least, most = map(int, asked["workers"].split(":"))
    assert (workers["minReplicas"], workers["maxReplicas"]) == (least, most)
    (container,) = workers["template"]["spec"]["containers"]
    assert float(container["resources"]["limits"]["nvidia.com/gpu"]) == asked["gpus_per_worker"]
    assert float(container["resources"]["limits"]["cpu"]) == asked["cpus_per_worker"]
