import threading
import warnings
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from fmbseg.alignment.feature_store import FeatureKey, FeatureStore
from fmbseg.checksums import read_rows, write_rows


def grid_of(seed: int, height: int = 2, width: int = 3) -> NDArray[np.float16]:
    return np.random.default_rng(seed).normal(size=(4, height, width)).astype(np.float16)


def key_of(seed: int, height: int = 2, width: int = 3) -> FeatureKey:
    return FeatureKey(f"{seed:064x}", height, width)


def fill(folder: Path, *seeds: int) -> None:
    with closing(FeatureStore(folder, 4)) as store:
        for seed in seeds:
            store.write(key_of(seed), grid_of(seed))


def test_grids_of_any_size_come_back_after_reopening(tmp_path: Path) -> None:
    with closing(FeatureStore(tmp_path, 4)) as store:
        store.write(key_of(1), grid_of(1))
        store.write(key_of(2, 5, 1), grid_of(2, 5, 1))
    reopened = FeatureStore(tmp_path, 4)
    for seed, sides in ((1, (2, 3)), (2, (5, 1))):
        np.testing.assert_array_equal(reopened.read(key_of(seed, *sides)), grid_of(seed, *sides))
    assert key_of(1) in reopened
    assert key_of(1, 5, 1) not in reopened


def test_what_is_read_is_mapped_not_loaded(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    assert isinstance(FeatureStore(tmp_path, 4).read(key_of(1)), np.memmap)


def test_what_was_just_written_is_read_in_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(FeatureStore(Path("features"), 4)) as store:
        store.write(key_of(1), grid_of(1))
        np.testing.assert_array_equal(store.read(key_of(1)), grid_of(1))


def test_a_new_writer_leaves_earlier_parts_alone(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    fill(tmp_path, 2)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    store = FeatureStore(tmp_path, 4)
    assert key_of(1) in store
    assert key_of(2) in store


def test_a_store_that_is_only_read_writes_nothing(tmp_path: Path) -> None:
    FeatureStore(tmp_path / "new", 4).close()
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_an_index_line_that_was_cut_short_is_no_grid(tmp_path: Path, lost: int) -> None:
    fill(tmp_path, 1, 2)
    index = tmp_path / "part-00000.jsonl"
    index.write_bytes(index.read_bytes()[:-lost])
    store = FeatureStore(tmp_path, 4)
    assert key_of(1) in store
    assert key_of(2) not in store


def test_bytes_that_were_cut_short_or_changed_are_no_grid(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2)
    part = tmp_path / "part-00000.f16"
    content = bytearray(part.read_bytes()[:-1])
    content[3] ^= 1
    part.write_bytes(content)
    store = FeatureStore(tmp_path, 4)
    with pytest.warns(UserWarning, match=r"part-00000.f16 is damaged: .* is computed again") as told:
        assert [store.read(key_of(seed)) for seed in (1, 2)] == [None, None]
    assert len(told) == 1
    assert key_of(1) not in store
    part.unlink()
    with pytest.warns(UserWarning, match="is damaged"):
        assert FeatureStore(tmp_path, 4).read(key_of(1)) is None


def test_no_flipped_bit_of_an_index_or_a_part_is_believed(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2, 3)
    random = Random(0)
    for name in ("part-00000.jsonl", "part-00000.f16"):
        content = (tmp_path / name).read_bytes()
        for position in range(len(content)):
            bad = bytearray(content)
            bad[position] ^= 1 << random.randrange(8)
            (tmp_path / name).write_bytes(bad)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                store = FeatureStore(tmp_path, 4)
                found = [store.read(key_of(seed)) for seed in (1, 2, 3)]
            lost = sum(grid is None for grid in found)
            # Only a last line feed that is none looks as if a kill had cut the line short.
            assert lost > 0
            assert len(told) == (position != len(content) - 1 or name.endswith("f16"))
            for seed, grid in zip((1, 2, 3), found, strict=True):
                if grid is not None:
                    np.testing.assert_array_equal(grid, grid_of(seed))
        (tmp_path / name).write_bytes(content)


def test_an_entry_with_the_grid_of_another_is_not_believed(tmp_path: Path) -> None:
    """An index that fits in itself, but whose two places are exchanged."""
    fill(tmp_path, 1, 2)
    rows = read_rows(tmp_path / "part-00000.jsonl")
    for one, other in ((0, 1), (1, 0)):
        rows[one] |= {"sha256": key_of(other + 1).sha256}
    write_rows(tmp_path / "part-00000.jsonl", rows)
    with pytest.warns(UserWarning, match="is damaged"):
        assert FeatureStore(tmp_path, 4).read(key_of(1)) is None


def test_writers_side_by_side_do_not_meet(tmp_path: Path) -> None:
    threads = [threading.Thread(target=fill, args=(tmp_path, *range(10 * n, 10 * n + 10))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = FeatureStore(tmp_path, 4)
    for seed in range(60):
        np.testing.assert_array_equal(store.read(key_of(seed)), grid_of(seed))
    assert len(list(tmp_path.glob("*.f16"))) == 6


def test_another_shape_is_refused(tmp_path: Path) -> None:
    with closing(FeatureStore(tmp_path, 4)) as store, pytest.raises(ValueError, match=r"got \(4, 3, 2\)"):
        store.write(key_of(1), grid_of(1, 3, 2))
