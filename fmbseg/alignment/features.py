"""Patch features of the frozen backbone, computed once and kept on disk where they fit the budget."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import warnings
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from fmbseg.ahead import ordered_map, readers
from fmbseg.alignment.feature_store import FeatureKey, FeatureStore
from fmbseg.alignment.sending import sent
from fmbseg.alignment.training_example import training_size
from fmbseg.checksums import seal, unseal
from fmbseg.files import DamagedFileError, check_regular, write_atomically
from fmbseg.images import load_image
from fmbseg.models.batching import Batches, batch_size_for, pinned
from fmbseg.models.weight_probe import probe_backbone, same_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from fmbseg.alignment.distributed import Processes
    from fmbseg.alignment.training_example import TrainingExample
    from fmbseg.models.contracts import Backbone
    from fmbseg.progress import Progress

    _Computed = tuple[TrainingExample, torch.Tensor]

_GIGABYTE = 1e9
_BYTES = 2  # of a float16
_PROBE = "probe.npy"


def feature_gigabytes(sizes: Iterable[tuple[int, int]], *, image_size: int, stride: int, dim: int) -> float:
    """Gigabytes (1e9 bytes) that the features of photographs will take on disk; computes none.

    Args:
        sizes: height and width of each photograph, in pixels.
        image_size: short side in pixels that they are encoded at.
        stride: of the backbone, in pixels.
        dim: channels of the backbone.

    Example:
        COCO's 118,287 training photographs with ViT-L/14 at 518 px, if they were square:

        >>> coco = [(518, 518)] * 118_287
        >>> round(feature_gigabytes(coco, image_size=518, stride=14, dim=1024), 1)
        331.6
    """
    cells = 0
    for size in sizes:
        height, width = training_size(size, image_size, stride)
        cells += (height // stride) * (width // stride)
    return _gigabytes(cells, dim)


@torch.no_grad()
def check_grid(backbone: Backbone, size: tuple[int, int], device: torch.device) -> None:
    """Encode a blank image, and refuse features that do not fit the patch labels.

    Args:
        backbone: the frozen encoder.
        size: height and width in pixels of an image as it will be encoded.
        device: where it computes.

    Raises:
        ValueError: its features do not have the shape that its ``dim`` and ``stride`` give.
    """
    expected = (1, backbone.dim, size[0] // backbone.stride, size[1] // backbone.stride)
    found = tuple(backbone.to(device).encode(torch.zeros(1, 3, *size, device=device)).shape)
    if found != expected:
        raise ValueError(
            f"labels of an image of {size[0]} x {size[1]} pixels are a grid of {expected[2]} x {expected[3]} "
            f"patches, and the backbone {backbone.spec!r} should give features {expected}, for its dim is "
            f"{backbone.dim} and its stride {backbone.stride}; it gives {found}: correct what it says"
        )


@dataclass(frozen=True)
class CachePlan:
    """Whether features are kept, decided before any is computed.

    Attributes:
        gigabytes: size of the features of all photographs.
        missing: gigabytes of them that are not on disk yet.
        budget: gigabytes allowed.
        free: gigabytes free on the disk.
        folder: where they are kept.
    """

    gigabytes: float
    missing: float
    budget: float
    free: float
    folder: Path

    @property
    def kept(self) -> bool:
        """Whether they fit both the budget and the disk."""
        return self.gigabytes <= self.budget and self.missing <= self.free

    def __str__(self) -> str:
        size = f"features of the photographs take {self.gigabytes:.3g} GB (float16)"
        if self.kept:
            return f"{size}, {self.missing:.3g} GB of them still to be computed; kept in {self.folder}"
        limit = (
            f"the budget of {self.budget:g} GB (cache_gb)"
            if self.gigabytes > self.budget
            else f"the {self.free:.3g} GB free in {self.folder}"
        )
        return f"{size}, more than {limit}: they are computed again in every epoch"


class FeatureCache:
    """The backbone's features of training photographs, the same with and without a disk.

    The key is the backbone's spec, the size that the photograph is encoded at, and the SHA-256 of its file.
    What the backbone makes of a fixed noise image is kept as well, so other weights under the same spec get a
    folder of their own and stale features are never read. Features pass through float16, kept or not.

    Args:
        backbone: the frozen encoder.
        device: where it computes.
        folder: under which features are kept.
        max_gb: gigabytes (1e9 bytes) that the features of one training may take; 0 keeps none.
        batch_size: photographs of one size that are encoded at once, at most; fewer if the device lacks the
            memory. If not given, 1 on a CPU and 32 on another device.
    """

    def __init__(
        self,
        backbone: Backbone,
        device: torch.device,
        folder: Path,
        max_gb: float,
        *,
        batch_size: int | None = None,
    ) -> None:
        self._backbone = backbone.to(device)
        self._batch_size = batch_size_for(device) if batch_size is None else batch_size
        self._batches = Batches(self._backbone, self._batch_size, device)
        self._coming: Generator[_Computed, None, None] | None = None
        self._awaited: set[FeatureKey] = set()
        self._ready: dict[FeatureKey, torch.Tensor] = {}
        self._device = device
        self._folder = folder
        self._max_gb = max_gb
        self._store: FeatureStore | None = None

    def open(self, examples: Iterable[TrainingExample]) -> CachePlan:
        """Decide whether to keep the features of ``examples``; computes none of them."""
        sizes = {self._key(example): self._gigabytes(example) for example in examples}
        gigabytes = sum(sizes.values())
        if gigabytes > self._max_gb:
            return CachePlan(gigabytes, gigabytes, self._max_gb, 0.0, self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = _folder_of(self._backbone, self._device, self._folder)
        store = FeatureStore(folder, self._backbone.dim)
        missing = sum(size for key, size in sizes.items() if key not in store)
        free = shutil.disk_usage(folder).free / _GIGABYTE
        plan = CachePlan(gigabytes, missing, self._max_gb, free, folder)
        if plan.kept:
            self._store = store
        return plan

    def close(self) -> None:
        """Stop reading ahead, and close the files that are open for writing."""
        self.expect([])
        if self._store is not None:
            self._store.close()

    def fill(self, examples: Sequence[TrainingExample]) -> Iterator[TrainingExample]:
        """Compute and keep the features of photographs that are not kept yet; yield each that is.

        Photographs of one size share a pass of the backbone, whose result for each is the same within the
        rounding of float32, whichever they are.

        Raises:
            ValueError: the backbone gives values that float16 cannot hold as finite numbers.
        """
        store = self._store
        if store is None:
            return
        missing: list[TrainingExample] = []
        for example in examples:
            if store.read(self._key(example)) is None:
                missing.append(example)
            else:
                yield example

        def keep(computed: _Computed) -> TrainingExample:
            example, half = computed
            key = self._key(example)
            if store.read(key) is None:
                # By NumPy: PyTorch would take as many threads for it as for the backbone, which then waits.
                features = half.cpu().numpy()
                self._check(example, finite=bool(np.isfinite(features).all()))
                store.write(key, features)
            return example

        halves = ((one, grid.half()) for one, grid in self._computed(self._groups(missing)))
        # One photograph's features are written while the device computes others.
        with closing(ordered_map(keep, halves, workers=1)) as kept:
            yield from (example for _, example in kept)

    def expect(self, batches: Sequence[Sequence[TrainingExample]]) -> None:
        """Say which photographs will be asked for next, in batches, so that those not kept are read ahead.

        The photographs of a batch share passes of the backbone.
        """
        if self._coming is not None:
            self._coming.close()
        self._ready.clear()
        missing = [] if self._store is not None else batches
        self._awaited = {self._key(example) for batch in missing for example in batch}
        groups = [group for batch in missing for group in self._groups(batch)]
        self._coming = self._computed(groups) if groups else None

    def __call__(self, example: TrainingExample) -> torch.Tensor:
        """Features of one photograph, float32 (1, dim, h, w), read if they are kept, else computed.

        Raises:
            ValueError: the backbone gives values that float16 cannot hold as finite numbers.
        """
        key = self._key(example)
        grid = None if self._store is None else self._store.read(key)
        if grid is not None:
            return sent(grid, self._device).float()[None]
        if key in self._awaited and self._coming is not None:
            while key not in self._ready:
                other, computed = next(self._coming)
                self._ready[self._key(other)] = computed
            self._awaited.remove(key)
            computed = self._ready.pop(key)
        else:
            (computed,) = self._batches.encode([self._pixels(example)])
        return self._half(example, computed).float()[None]

    def _key(self, example: TrainingExample) -> FeatureKey:
        return FeatureKey(example.sha256, *example.labels.shape)

    def _gigabytes(self, example: TrainingExample) -> float:
        return _gigabytes(example.labels.size, self._backbone.dim)

    def _groups(self, examples: Iterable[TrainingExample]) -> list[list[TrainingExample]]:
        """Batches of photographs of one size, in the order of their first."""
        groups: list[list[TrainingExample]] = []
        last: dict[tuple[int, int], list[TrainingExample]] = {}
        for example in examples:
            if len(last.get(example.size, ())) in (0, self._batch_size):
                last[example.size] = []
                groups.append(last[example.size])
            last[example.size].append(example)
        return groups

    def _computed(self, groups: Sequence[Sequence[TrainingExample]]) -> Generator[_Computed, None, None]:
        """Features on the device, (dim, h, w), while threads read the next photographs."""
        workers = readers(self._device)
        in_hand = max(workers, 2 * self._batch_size)
        every = [example for group in groups for example in group]
        with closing(ordered_map(self._pixels, every, workers=workers, in_hand=in_hand)) as read:
            for group in groups:
                pixels = [one for _, one in islice(read, len(group))]
                yield from zip(group, self._batches.encode(pixels), strict=True)

    def _pixels(self, example: TrainingExample) -> torch.Tensor:
        return pinned(self._backbone.transform(load_image(example.path), size=example.size), self._device)

    def _half(self, example: TrainingExample, grid: torch.Tensor) -> torch.Tensor:
        half = grid.half()
        self._check(example, finite=bool(torch.isfinite(half).all()))
        return half

    def _check(self, example: TrainingExample, *, finite: bool) -> None:
        if not finite:
            raise ValueError(
                f"features of {self._backbone.spec!r} for {example.path} are not finite in float16"
            )


@contextmanager
def filled(
    cache: FeatureCache,
    examples: Sequence[TrainingExample],
    name: str,
    bars: Progress,
    processes: Processes,
    elsewhere: Callable[[Sequence[TrainingExample], str, Progress], None] | None = None,
) -> Iterator[FeatureCache]:
    """Open a cache, compute what is missing and fits, and close it at the end.

    All features are computed before the first epoch, so a photograph that cannot be read is found at once;
    several processes share the work.

    Args:
        cache: to open.
        examples: whose features are wanted.
        name: what to call the features in the bars.
        bars: where to show the plan and the progress.
        processes: those that share the folder.
        elsewhere: computes features in this one's place, into the same folder.
    """
    with processes.main_first():
        plan = cache.open(examples)
    bars.note(f"{name}: {plan}")
    try:
        if plan.kept:
            mine = processes.share(examples)
            if elsewhere is not None:
                elsewhere(mine, name, bars)
            else:
                for _ in bars.track(cache.fill(mine), name, len(mine)):
                    pass
        processes.wait()
        if processes.count > 1 or elsewhere is not None:  # to find what the others computed
            cache.close()
            cache.open(examples)
        yield cache
    finally:
        cache.close()


def _gigabytes(cells: int, dim: int) -> float:
    return dim * cells * _BYTES / _GIGABYTE


def _folder_of(backbone: Backbone, device: torch.device, root: Path) -> Path:
    """This backbone's folder: the one of its spec whose probe matches what the backbone makes of noise."""
    found = probe_backbone(backbone, device)
    identity = [backbone.spec, backbone.dim, backbone.stride, repr(backbone.transform)]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    for attempt in range(1000):
        folder = root / f"{name}-{attempt}"
        known = _read_probe(folder)
        if known is None:
            folder.mkdir(exist_ok=True)
            content = io.BytesIO()
            np.save(content, found.cpu().numpy())
            write_atomically(folder / _PROBE, seal(content.getvalue()))
            return folder
        if same_weights(known, found):
            return folder
    raise RuntimeError(f"{root} holds features of 1,000 backbones named {backbone.spec!r}: delete it")


def _read_probe(folder: Path) -> torch.Tensor | None:
    """The probe of a folder; if it is damaged, nobody knows whose the features are, and they go as well."""
    try:
        check_regular(folder / _PROBE)
        content = io.BytesIO(unseal((folder / _PROBE).read_bytes(), folder / _PROBE))
        return torch.from_numpy(np.load(content, allow_pickle=False))
    except FileNotFoundError:
        why = f"{folder / _PROBE} is missing"
    except (DamagedFileError, OSError) as error:
        why = str(error)
    parts = [*folder.glob("part-*.jsonl"), *folder.glob("part-*.f16")]
    if parts or (folder / _PROBE).exists():
        warnings.warn(f"{why}. The features beside it are computed again", stacklevel=5)
    for part in parts:
        part.unlink(missing_ok=True)
    return None
