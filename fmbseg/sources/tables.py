"""Tables of photographs: Parquet files and what `datasets` saves, with images or their URIs in a column."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

from fmbseg.signatures import ImageError
from fmbseg.sources.reading import open_file, read_whole, size_of
from fmbseg.storage import is_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
_TEXTS = ("url", "uri", "image_url", "image_uri", "path", "file_name")
_ROWS = 1 << 12


def is_table(name: str) -> bool:
    """Whether a name is that of a table, perhaps with a column's: ``photos.parquet#image``."""
    return name.partition("#")[0].lower().endswith((".parquet", ".arrow"))


def open_table(name: str) -> ImageTable:
    """Open a table.

    Args:
        name: a path or a URI, with ``#`` and a column's name where it has more than one of images.

    Raises:
        ImageError: it is no table, is damaged, or has no such column.
        OSError: it cannot be read.
    """
    import pyarrow as pa

    file, _, column = name.partition("#")
    try:
        return _Parquet(file, column) if file.lower().endswith(".parquet") else _Arrow(file, column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ImageError(f"{file} is not a table that can be read ({error}); get it again") from error


class ImageTable:
    """One column of a table.

    Args:
        name: of the file.
        column: as it was asked for; empty to find one.
        schema: Arrow's.

    Attributes:
        rows: how many there are.
        size: bytes of the file.
        has_text: whether the column names photographs rather than holding them.
    """

    rows: int

    def __init__(self, name: str, column: str, schema: Any) -> None:
        self.name, self.size = name, size_of(name)
        self.column = column or _column(name, schema)
        if self.column not in schema.names:
            raise ImageError(f"{name} has no column {column!r}; its columns are {', '.join(schema.names)}")
        self.has_text = _holds_text(schema.field(self.column).type)
        if not (self.has_text or _holds_images(schema.field(self.column).type)):
            raise ImageError(
                f"the column {self.column} of {name} has {schema.field(self.column).type}: it must have "
                "images (binary, or bytes and path) or URIs"
            )

    def texts(self) -> Iterator[str]:
        """The column's text; rows without any are left out."""
        for values in self._parts():
            yield from (value for value in values.to_pylist() if value)

    def read(self, row: int) -> bytes:
        """The image of a row; an ImageError if it has none."""
        if not 0 <= row < self.rows:
            raise ImageError(f"{self.name} has {self.rows} rows, and no row {row}")
        value = self._value(row).as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise ImageError(
                f"row {row} of {self.name} has no image in its column {self.column}; leave it out"
            )
        return content

    def _value(self, row: int) -> Any:
        raise NotImplementedError

    def _parts(self) -> Iterator[Any]:
        raise NotImplementedError


class _Parquet(ImageTable):
    """A group of rows, as the file has them, is held at a time."""

    def __init__(self, name: str, column: str) -> None:
        from pyarrow.parquet import ParquetFile

        self._file = ParquetFile(open_file(name))
        super().__init__(name, column, self._file.schema_arrow)
        counts = [self._file.metadata.row_group(one).num_rows for one in range(self._file.num_row_groups)]
        self._starts = [sum(counts[:place]) for place in range(len(counts) + 1)]
        self.rows = self._starts[-1]
        self._lock, self._held = Lock(), (-1, None)

    def _value(self, row: int) -> Any:
        from bisect import bisect_right

        group = bisect_right(self._starts, row) - 1
        with self._lock:
            if self._held[0] != group:
                self._held = (-1, None)  # not two at once
                self._held = (group, self._file.read_row_group(group, columns=[self.column]).column(0))
            return self._held[1][row - self._starts[group]]  # type: ignore[index]

    def _parts(self) -> Iterator[Any]:
        for batch in self._file.iter_batches(_ROWS, columns=[self.column]):
            yield batch.column(0)


class _Arrow(ImageTable):
    """A file on this machine is mapped into memory; one from elsewhere is read whole."""

    def __init__(self, name: str, column: str) -> None:
        import pyarrow as pa

        source = pa.BufferReader(read_whole(name)) if is_uri(name) else pa.memory_map(name)
        is_stream = source.read(6) != b"ARROW1"
        source.seek(0)
        table = (pa.ipc.open_stream if is_stream else pa.ipc.open_file)(source).read_all()
        super().__init__(name, column, table.schema)
        self.rows, self._values = len(table), table.column(self.column)

    def _value(self, row: int) -> Any:
        return self._values[row]

    def _parts(self) -> Iterator[Any]:
        yield from self._values.chunks


def _column(name: str, schema: Any) -> str:
    """The column that holds images, or else names them."""
    holding = [one.name for one in schema if _holds_images(one.type)]
    naming = [one.name for one in schema if _holds_text(one.type)]
    for found, usual in ((holding, _IMAGES), (naming, _TEXTS)):
        if len(found) == 1 and (found is holding or len(schema) == 1):
            return str(found[0])
        for one in usual:
            if one in (lower := {column.lower(): column for column in found}):
                return str(lower[one])
    raise ImageError(
        f"which column of {name} has the photographs? Write {name}#COLUMN, with one of "
        f"{', '.join(schema.names)}"
    )


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        return "bytes" in names
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _holds_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


class RowKeys(Sequence[str]):
    """The keys of a table's rows, made when they are asked for.

    Args:
        name: of the table, which each key starts with.
        rows: how many there are, or which.

    Example:
        >>> keys = RowKeys("a.parquet", 3)
        >>> keys[1], list(keys[2:])
        ('a.parquet/00000001', ['a.parquet/00000002'])
    """

    def __init__(self, name: str, rows: int | range) -> None:
        self._name, self._rows = name, range(rows) if isinstance(rows, int) else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> RowKeys: ...
    def __getitem__(self, place: int | slice) -> str | RowKeys:
        if isinstance(place, slice):
            return RowKeys(self._name, self._rows[place])
        return f"{self._name}/{self._rows[place]:08d}"
