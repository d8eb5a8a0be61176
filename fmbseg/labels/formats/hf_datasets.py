"""Labels as a data set that Hugging Face's `datasets` loads: photographs, class maps and masks in Parquet."""

from __future__ import annotations

from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fmbseg.escaping import markdown, markdown_code
from fmbseg.files import encode
from fmbseg.labels.formats.exported import DATASETS, Exported, export_folder, survey, with_pixels
from fmbseg.labels.record import photograph_bytes
from fmbseg.labels.shards import SCHEMA, to_row
from fmbseg.missing_package import require
from fmbseg.models.hub_push import push_errors, push_folder, ready_repository
from fmbseg.models.loading.hub_files import check_repository
from fmbseg.written import LOCK, MARKER, check_folder

if TYPE_CHECKING:
    from fmbseg.labels.collection import LabelCollection
    from fmbseg.labels.record import LabeledImage

_CARD = "README.md"
_SHOWN_CLASSES = 100
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TEMPLATE = Path(__file__).with_name("templates") / "data_card.md"
_GROUP = 16  # photographs in memory at once; their bytes are among them


def export_datasets(
    labels: LabelCollection,
    folder: str | Path,
    *,
    shard_size: int = 500,
    license: str | None = None,  # noqa: A002 - the Hub's word
) -> Exported:
    """Write a folder that ``datasets.load_dataset(folder)`` loads and the Hub shows.

    Args:
        labels: a label set, or a collection derived from one.
        folder: to write to; only files that an earlier export wrote are replaced.
        shard_size: photographs a file; each holds the photographs themselves.
        license: of the photographs and labels, for the card.

    Returns:
        The folder, and what was written and left out, counted.

    Raises:
        ImportError: the package `datasets` is not installed.
        ValueError: ``shard_size`` below 1.
        PhotographError: a photograph is missing, or was changed since it was labelled.
        WouldReplaceError: a file that this export did not write is in the way. Nothing was written.
        OSError: a file cannot be written.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}: it must be 1 or more")
    folder, schema = Path(folder), _schema(labels.vocabulary.names)
    check_folder(folder, DATASETS, [_CARD])  # before the photographs are gone through
    found = survey(labels, folder, for_training=False, photographs_needed=True)
    count = max(1, -(-len(labels) // shard_size))
    shards = [f"data/train-{index:05d}-of-{count:05d}.parquet" for index in range(count)]
    rows = (_row(labels, with_pixels(image)) for image in labels)
    with export_folder(folder, DATASETS, found.photographs.values()) as out:
        out.check([*shards, _CARD])
        for shard in shards:
            with out.path(shard) as temporary, pq.ParquetWriter(temporary, schema) as writer:
                part = islice(rows, shard_size)
                while group := list(islice(part, _GROUP)):
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
        out.write(_CARD, encode(datasets_card(labels, license)))
    return found.counts.warn()


def push_datasets(
    labels: LabelCollection,
    repo: str,
    *,
    private: bool | None,
    branch: str | None,
    token: str | None,
    license: str | None,  # noqa: A002 - the Hub's word
    commit_message: str,
) -> str:
    """Push what :func:`export_datasets` writes (see :meth:`LabelCollection.push_to_hub`)."""
    check_repository(repo)  # before the photographs are gone through
    with TemporaryDirectory() as temporary:
        folder = export_datasets(labels, Path(temporary), license=license).path
        for own in (MARKER, LOCK):
            (folder / own).unlink(missing_ok=True)
        with push_errors(repo):
            ready_repository(repo, private=private, branch=branch, token=token, kind="dataset")
            return push_folder(
                folder,
                repo,
                branch=branch,
                token=token,
                commit_message=commit_message,
                replaced="data/*.parquet",  # another count of shards has other names
            )


def _schema(names: tuple[str, ...]) -> pa.Schema:
    """The columns as `datasets` needs them described, with the names of the classes."""
    datasets = require("datasets", "datasets", "this export")
    classes = datasets.ClassLabel(names=list(names))
    shard = datasets.Features.from_arrow_schema(SCHEMA)
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.Image(),
            **shard,
            "detected": datasets.List(classes),
            "masks": datasets.List({**shard["masks"].feature, "class_id": classes}),
        }
    )
    return features.arrow_schema


def _row(labels: LabelCollection, image: LabeledImage) -> dict[str, Any]:
    photograph = labels.photograph_of(image)  # again, for all were compared before the first was written
    return {
        **to_row(image),
        "image": {"bytes": photograph_bytes(photograph), "path": photograph.name},
        "label": {"bytes": _png(image), "path": None},
    }


def _png(image: LabeledImage) -> bytes:
    """The class map as a 16-bit PNG, so that any vocabulary fits."""
    file = BytesIO()
    Image.fromarray((image.label_map() + 1).astype(np.uint16)).save(file, format="PNG")
    return file.getvalue()


def datasets_card(labels: LabelCollection, license: str | None = None) -> str:  # noqa: A002 - the Hub's word
    """Write the card of a data set as Markdown, preceded by the Hub's metadata.

    Args:
        labels: the labels in the data set.
        license: of the photographs and labels, as the Hub names licences.
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    count = len(labels)
    data = DatasetCardData(
        license=license,
        task_categories=["image-segmentation"],
        tags=["fmbseg", "pseudo-labels", "arxiv:2403.09307"],
        size_categories=[next((name for limit, name in _SIZES if count < limit), "1M<n<10M")],
        configs=[{"config_name": "default", "data_files": "data/*.parquet"}],
    )
    models = labels.origin.get("models", {})
    card = DatasetCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        text=markdown,
        code=markdown_code,
        count=count,
        names=labels.vocabulary.names,
        most=_SHOWN_CLASSES,
        models=[(role.replace("_", " "), spec) for role, spec in models.items() if isinstance(spec, str)],
        fingerprint=labels.fingerprint,
        license=license,
    )
    return f"{card.content}\n"
