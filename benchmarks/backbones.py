"""What the wrapper around frozen encoders costs: our ``encode`` beside the bare model's own forward.

Each preset is measured in a process of its own, at its native size, with random weights, one image at a time,
in one thread. Both sides run in turn; the overhead is the median of the ratios of neighbouring runs, taken on
processor time, which other users of the machine do not distort as they do wall time. The last line is one
JSON object.

    python benchmarks/backbones.py --out benchmarks/results/backbones.json

Presets that the result file holds already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_PAIRS = (3, 15)  # at least, at most
_SLOW_SECONDS = 30.0  # of one forward, past which two pairs have to do
_GIGABYTE = 1e9


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure presets and print what was measured; see the module."""
    from fmbseg.models.backbones.presets import PRESETS

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--presets", default=",".join(PRESETS), help="names, joined by commas")
    parser.add_argument("--size", type=int, default=0, help="side in pixels; 0 for the native one")
    parser.add_argument("--seconds", type=float, default=30.0, help="of timed runs that are aimed at")
    parser.add_argument("--out", type=Path, help="result file, written after each preset")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        row = measure(options.one, options.size, options.seconds)
        print(json.dumps(row))
        return row
    rows: dict[str, Any] = {}
    if options.out and options.out.is_file():
        rows = json.loads(options.out.read_text())["presets"]
    for preset in options.presets.split(","):
        if preset not in rows:
            rows[preset] = _in_a_process(preset, options.size, options.seconds)
            print(preset, rows[preset], file=sys.stderr, flush=True)
        result = _result({name: rows[name] for name in rows})
        if options.out:
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
    return result


def measure(preset: str, size: int, seconds: float) -> dict[str, Any]:
    """Time one preset beside its bare model.

    Args:
        preset: its name.
        size: side of the image in pixels; 0 for the native one.
        seconds: of timed runs that are aimed at; at least three pairs are run (two where a
            forward takes more than half a minute), at most fifteen.
    """
    import torch

    from fmbseg.models.registries import BACKBONES

    torch.set_num_threads(1)
    backbone: Any = BACKBONES.create(preset, weights="random")
    side = size // backbone.stride * backbone.stride or backbone.native_size
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    once = _timed(lambda: backbone.encode(pixels))[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIGABYTE
    bare, shared = _bare(BACKBONES.expand(preset), side, backbone)

    def ours() -> object:
        return backbone.encode(pixels)

    def theirs() -> object:
        with torch.inference_mode():
            return bare(pixels)

    theirs()
    least = _PAIRS[0] if once < _SLOW_SECONDS else _PAIRS[0] - 1
    pairs = min(max(int(seconds / (2 * once)), least), _PAIRS[1])
    runs = [
        (_timed(ours), _timed(theirs)) if turn % 2 else (_timed(theirs), _timed(ours))[::-1]
        for turn in range(pairs)
    ]
    return {
        "overhead": statistics.median(mine[0] / other[0] for mine, other in runs) - 1,
        "overhead_wall": statistics.median(mine[1] / other[1] for mine, other in runs) - 1,
        "pairs": pairs,
        "images_per_second": 1 / statistics.median(mine[0] for mine, _ in runs),
        "bare_images_per_second": 1 / statistics.median(other[0] for _, other in runs),
        "peak_memory_gb": peak,
        "weights_shared": shared,
        "size": side,
        "parameters": backbone.facts.parameters,
        "dim": backbone.dim,
    }


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of this process's processor time, and of the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - processor, time.perf_counter() - clock


def _bare(spec: str, side: int, backbone: Any) -> tuple[Callable[[torch.Tensor], object], bool]:
    """The forward of the model as its own library makes it, and whether it shares its weights with ours.

    A transformer shares the weights of ``backbone``: two copies lie differently in memory, which alone makes
    some per cent. A convolutional model keeps its own, laid out as its library does.
    """
    family, _, name = spec.partition(":")
    if family == "timm":
        import timm

        model: Any = timm.create_model(name, pretrained=False, num_classes=0, img_size=side).eval()
        _share(model, backbone)
        return model.forward_features, True
    import transformers

    from fmbseg.models.backbones.hf_kinds import ARCHITECTURES, KINDS

    model_type, values = ARCHITECTURES[name]
    config = transformers.AutoConfig.for_model(model_type, **values)
    made = getattr(transformers, KINDS[model_type].model)(config).eval()
    shared = KINDS[model_type].shape != "pyramid"
    if shared:
        _share(made, backbone)
    return lambda pixels: made(pixel_values=pixels), shared


def _share(model: Any, backbone: Any) -> None:
    shared = backbone.network.model.state_dict()
    own = model.state_dict()
    model.load_state_dict({name: shared[name] for name in shared if name in own}, strict=False, assign=True)


def _in_a_process(preset: str, size: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", preset, "--size", str(size), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{preset}: {done.stderr.strip()[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _result(rows: dict[str, Any]) -> dict[str, Any]:
    overheads = {name: round(row["overhead"], 4) for name, row in rows.items()}
    return {
        "overhead": overheads,
        "median_overhead": round(statistics.median(overheads.values()), 4),
        "largest_overhead": max(overheads.values()),
        "over_3_percent": sorted(name for name, value in overheads.items() if value > 0.03),
        "presets": rows,
        "weights": "random",
        "batch": 1,
        "threads": 1,
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "timm", "transformers")},
    }


if __name__ == "__main__":
    main()
