"""Lists of keys in little memory: a string takes its bytes and eight more."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 16


class KeyList(Sequence[str]):
    """An immutable list of strings, kept as one Arrow array; a slice shares its memory.

    Args:
        values: an Arrow array of large strings.

    Example:
        >>> keys = KeyList.of(f"{number}.jpg" for number in range(1000))
        >>> len(keys), keys[2], list(keys[998:])
        (1000, '2.jpg', ['998.jpg', '999.jpg'])
    """

    def __init__(self, values: Any) -> None:
        self.values = values

    @classmethod
    def of(cls, keys: Iterable[str]) -> KeyList:
        """The keys in their order; they are taken one at a time.

        Raises:
            UnicodeEncodeError: one is not Unicode.
        """
        import pyarrow as pa

        # One buffer that grows: arrays joined at the end would take three times the memory meanwhile.
        text, ends = bytearray(), array("q", [0])
        for key in keys:
            text += key.encode()
            ends.append(len(text))
        buffers = pa.py_buffer(ends), pa.py_buffer(text)
        return cls(pa.LargeStringArray.from_buffers(len(ends) - 1, *buffers))

    def distinct(self) -> KeyList:
        """Each key once, sorted as Python sorts text."""
        import pyarrow.compute as pc

        values = pc.unique(self.values)
        return KeyList(values.take(pc.array_sort_indices(values)))

    def first_repeated(self) -> str | None:
        """A key that comes twice, if there is one."""
        import pyarrow.compute as pc

        values = self.distinct().values
        if len(values) == len(self):
            return None
        counts = pc.value_counts(self.values)
        return str(counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py())

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> KeyList: ...
    def __getitem__(self, place: int | slice) -> str | KeyList:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                return KeyList(self.values.take(list(range(start, stop, step))))
            return KeyList(self.values.slice(start, max(0, stop - start)))
        return str(self.values[place].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.values), _CHUNK):
            yield from self.values.slice(start, _CHUNK).to_pylist()
