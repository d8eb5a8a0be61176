"""What the page segments with, without a browser."""

from __future__ import annotations

from shutil import copytree
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fmbseg.app.place import Folders, Place
from fmbseg.app.segmenting import RULES, question, words_of
from fmbseg.app.snippets import command_line
from fmbseg.heads import packaged_head
from fmbseg.methods.remembering import Memory
from fmbseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    "name", ["/etc", "..", "photos/..", "photos/../photos", "", None, 3, "photos\x00", "PHOTOS/"]
)
def test_only_folders_named_at_start_are_found(tmp_path: Path, name: object) -> None:
    (tmp_path / "photos").mkdir()
    folders = Folders([tmp_path / "photos"])
    assert folders.find(str(tmp_path / "photos")) == tmp_path / "photos"
    with pytest.raises(ValueError, match="is not among the folders"):
        folders.find(name)


def test_a_folder_that_is_not_here_is_told() -> None:
    with pytest.raises(NotADirectoryError, match=r"no/such: no folder is there; .* on this machine$"):
        Folders(["no/such"])
    with pytest.raises(NotADirectoryError, match=r"s3://bucket/labels: no folder .* bake URI --out"):
        Folders(["s3://bucket/labels"])


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", "", ".hidden", "..", "a\\b", "x" * 65, "nul\x00", "a."]
)
def test_what_the_page_makes_stays_in_its_folder(place: Place, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a folder"):
        place.new("labels", name)
    assert place.new("labels", " my set ") == place.work / "labels" / "my set"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "nothing.png", "./cat.png"])
def test_only_photographs_of_the_folder_are_opened(place: Place, name: str) -> None:
    (folder, *_) = place.photographs()
    assert place.image(folder, "cat.png").is_file()
    with pytest.raises(ValueError, match="is not among the photographs"):
        place.image(folder, name)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: words_of([]), "give one or more words"),
        (lambda: words_of([" , "]), "give one or more words"),
        (lambda: words_of([f"word {number}" for number in range(201)]), "201 words"),
        (lambda: question(["cat"], "offline", "sky", 0.2, None), "'sky' is none of"),
        (lambda: question(["cat"], "offline", RULES[0], 0.2, 1.5).settings, "certainty"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask()


def test_the_images_used_last_are_remembered_and_no_more_than_allowed() -> None:
    memory, images = Memory(), [object() for _ in range(3)]
    memory.keep(images=2, size=5000)
    for image in images:
        memory.turn_to(image)
        for key in ("a", "b", "c"):
            memory.get((key,), lambda: np.zeros(1000, np.uint8))
            assert memory.size <= 5000
    made: list[str] = []

    def known(image: object, key: str) -> bool:
        memory.turn_to(image)
        before = len(made)
        memory.get((key,), lambda: made.append(key))
        return len(made) == before

    assert memory.size == 5000
    assert all(known(images[2], key) for key in "abc")
    assert known(images[1], "c")
    assert not known(images[1], "a")  # the sixth result took its place
    assert not known(images[0], "c")  # the third image took its place
    memory.get(("large",), lambda: np.zeros(9000, np.uint8))
    assert known(images[0], "large")  # the last one stays, alone
    assert memory.size == 9000


def test_a_head_that_was_trained_here_segments_as_the_packaged_one_where_both_are_the_same(
    place: Place,
) -> None:
    packaged = packaged_head("offline")
    assert packaged is not None
    copytree(packaged, place.work / "heads" / "mine")
    copytree(packaged, place.work / "heads" / "damaged")
    (place.work / "heads" / "damaged" / "config.json").write_text("{")
    mine = place.spec("mine (head)")
    assert mine == f"{place.work / 'heads' / 'mine'}@offline"
    assert place.spec("damaged (head)") == str(place.work / "heads" / "damaged")
    asked = [question(["cat", "sofa"], spec, "nothing", 0.2, 0.0) for spec in ("offline@offline", mine)]
    line = command_line(asked[1], "cat.png")
    assert f"--head {place.work / 'heads' / 'mine'} " in line
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    found = [
        place.method(one.method).segment(image, Vocabulary.of(list(one.words)), settings=one.settings)
        for one in asked
    ]
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    before = place.method(mine)
    place.forget(place.work / "heads" / "mine")
    assert place.method(mine) is not before
