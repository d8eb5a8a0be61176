"""Lists of classes as tools write them: each form by an example, and what is none."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.vocabulary import Vocabulary
from fmbseg.vocabulary_files import read_classes, split_words

if TYPE_CHECKING:
    from pathlib import Path

CAT_AND_DOG = {
    "one a line": ("a.txt", "cat\nhot dog\n"),
    "Darknet": ("obj.names", "cat\nhot dog\n"),
    "quotation marks": ("a.txt", "\"cat\"\n'hot dog'\n"),
    "lines of a Python list": ("a.txt", '"cat",\n"hot dog",\n'),
    "lines of a YAML list": ("a.txt", "- cat\n- 'hot dog'\n"),
    "our export to PNG": ("classes.txt", "1\tcat\n2\thot dog\n"),
    "colon": ("a.txt", "0: cat\n1: hot dog\n"),
    "lines of a JSON mapping": ("a.txt", '"0": "cat",\n"1": "hot dog",\n'),
    "not in order": ("a.txt", "10: hot dog\n2: cat\n"),
    "numbered": ("a.txt", "1. cat\n2. hot dog\n"),
    "space": ("a.txt", "0 cat\n1 hot dog\n"),
    "index last": ("a.txt", "cat\t0\nhot dog\t1\n"),
    "CSV of index and name": ("a.txt", "0,cat\n1,hot dog\n"),
    "CamVid": ("a.txt", "64 128 64\tcat\n192 0 128\thot dog\n"),
    "colour last": ("a.txt", "cat, 64, 128, 64\nhot dog, 192, 0, 128\n"),
    "index, name, colour": ("a.txt", "0 cat 64 128 64\n1 hot dog 192 0 128\n"),
    "CVAT": ("labelmap.txt", "# label:color_rgb:parts:actions\ncat:64,128,64::\nhot dog:192,0,128:a:b\n"),
    "GroundingDINO": ("a.txt", "cat . hot dog ."),
    "GroundingDINO in quotation marks": ("a.txt", '"cat . hot dog ."'),
    "transformers' caption": ("a.txt", "cat. hot dog.\n"),
    "on one line": ("a.txt", "cat, hot dog\n"),
    "JSON in a text file": ("a.txt", '["cat", "hot dog"]'),
    "Python in a text file": ("a.txt", "['cat', 'hot dog']"),
    "data.yaml in a text file": ("a.txt", "nc: 2\nnames:\n  0: cat\n  1: hot dog\n"),
    "data.yaml": ("data.yaml", "path: ..\ntrain: images\nnc: 2\nnames: [cat, 'hot dog']\n"),
    "data.yaml with indices": ("data.yaml", "names:\n  1: hot dog\n  0: cat\n"),
    "YAML list": ("a.yml", "- cat\n- hot dog\n"),
    "JSON list": ("a.json", '["cat", "hot dog"]'),
    "index to name": ("a.json", '{"0": "cat", "1": "hot dog"}'),
    "index to name, by value of the index": ("a.json", '{"10": "hot dog", "9": "cat"}'),
    "name to index": ("a.json", '{"hot dog": 1, "cat": 0}'),
    "transformers' config": ("config.json", '{"model_type": "x", "id2label": {"1": "hot dog", "0": "cat"}}'),
    "COCO": (
        "coco.json",
        '{"images": [], "categories": [{"id": 7, "name": "hot dog"}, {"id": 1, "name": "cat"}]}',
    ),
    "objects": ("a.json", '[{"name": "cat"}, {"name": "hot dog"}]'),
    "names": ("a.json", '{"names": ["cat", "hot dog"]}'),
}


@pytest.mark.parametrize("form", CAT_AND_DOG)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_forms_of_one_list(tmp_path: Path, form: str, ends: str) -> None:
    name, text = CAT_AND_DOG[form]
    path = tmp_path / name
    path.write_bytes(text.replace("\n", ends).encode("utf-8-sig"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Vocabulary.of(path) == Vocabulary.of(["cat", "hot dog"])


def test_words_of_classes_and_names_that_only_look_like_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("7 up\n101 dalmatians\n# 3 men\n")
    with pytest.warns(UserWarning, match=r"a\.txt: the numbers are taken as parts .*'7 up' first"):
        assert read_classes(path) == ["7 up", "101 dalmatians"]
    path.write_text("7 up\ncoke\n")
    assert read_classes(path) == ["7 up", "coke"]
    path.write_text("area 51\nC# sharp # a key\n")
    assert read_classes(path) == ["area 51", "C# sharp"]
    path.write_text('"salt, pepper"\n')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_classes(path) == ["salt, pepper"]


def test_utf_16_as_powershell_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("größe\r\ncat\r\n".encode("utf-16"))
    assert read_classes(path) == ["größe", "cat"]


def test_our_own_classes_of_masks(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("0\tbackground\n1\tcat\n255\tignore\n")
    with pytest.warns(UserWarning, match=r"classes\.txt: 'ignore' means pixels that do not count"):
        assert Vocabulary.of(path) == Vocabulary(("background", "cat"), background=frozenset({0}))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [("cat, kitten\ndog\n", 1, "'cat, kitten' is taken as one name"), ("cat\n\n3\n", 3, "'3' is a number")],
)
def test_doubtful_lines_are_told(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.warns(UserWarning, match=rf"a\.txt, line {line}: {what}"):
        assert len(Vocabulary.of(path)) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"cat\tx\ndog\n", r"a\.txt, line 1: 'cat\\tx' is not a name"),
        ("a.txt", b"cat\nitem {\n", r"a\.txt, line 2: 'item {' is not a name"),
        ("a.txt", b"<!DOCTYPE html>\n<html>\n", r"a\.txt, line 1: '<!DOCTYPE html>' is not a name"),
        ("a.txt", b"0: cat\n0: dog\n", r"a\.txt: an index is used twice"),
        ("a.txt", b"cat\nd\xf6ner\n", r"a\.txt: line 2 is not UTF-8 text"),
        ("a.json", b'{"0": "cat", "kitten": "cat"}', r"a\.json: its keys are numbers and words"),
        ("a.json", b'{"a": 0, "b": 0}', r"a\.json: an index is used twice"),
        ("a.json", b"[" * 100_000, r"a\.json cannot be read as JSON: it is nested too deeply"),
        ("a.json", b'{"names": ' * 50_000, r"a\.json cannot be read as JSON"),
        ("a.json", b'"\xff"', r"a\.json cannot be read as JSON"),
        ("a.json", b"[1, 2]", r"a\.json: class 0 must be text, got int 1"),
        ("a.yaml", b"[" * 5000, r"a\.yaml: YAML that cannot be read: it is nested too deeply"),
        ("a.yaml", b"a: b\n c: [\n", r"a\.yaml: line 2: not YAML"),
        ("a.yaml", b"cat", r"a\.yaml: it holds neither a list of names nor a mapping"),
        ("a.yaml", b"- cat\n- [dog]\n", r"a\.yaml: class 1 must be text, got list"),
    ],
)
def test_what_is_of_no_known_form_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(path)


def test_a_pipe_is_no_file_of_words(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="not a regular file"):
        Vocabulary.of(tmp_path / "a.txt")


@given(st.binary(max_size=60))
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_give_classes_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for name in ("a.txt", "a.json", "a.yaml"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        said = ""
        try:
            assert len(Vocabulary.of(path)) > 0
        except ValueError as error:
            said = str(error)
        assert str(path) in said or not said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"salt, pepper",dog', ["salt, pepper", "dog"]),
        ('dog, "salt, pepper"', ["dog", "salt, pepper"]),
        ('"a ""b""",c', ['a "b"', "c"]),
        ('5" pipe,dog', ['5" pipe', "dog"]),
        ("cat,,dog,", ["cat", "dog"]),
        ("cat . dog .", ["cat", "dog"]),
        ("cat. dog.", ["cat", "dog"]),
        ("cat . dog", ["cat", "dog"]),
        ("no. 5,dog", ["no. 5", "dog"]),
        ("no. 5", ["no. 5"]),
        ("", []),
    ],
)
def test_words_of_the_command_line(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_a_quotation_mark_that_is_not_closed() -> None:
    with pytest.raises(ValueError, match=r"have a quotation mark that is not closed"):
        split_words('"salt, pepper,dog')


def test_words_on_the_command_line_in_other_forms() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split_words("0: dog,1: cat") == ["dog", "cat"]
        assert split_words('dog\n"salt, pepper"') == ["dog", "salt, pepper"]
    with pytest.warns(UserWarning, match=r"--classes: 'dog;cat' is taken as one name"):
        assert split_words("dog;cat") == ["dog;cat"]
    with pytest.warns(UserWarning, match=r"\"'salt\" begins with a quotation mark"):
        assert split_words("'salt, pepper'") == ["'salt", "pepper'"]


def test_a_line_of_quotation_marks_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('",\ncat\n- ,\n')
    assert read_classes(path)[1] == "cat"


def test_doubts_on_a_single_line_name_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("# mine\ncat;dog\n")
    with pytest.warns(UserWarning, match=r"a\.txt, line 2: 'cat;dog' is taken as one name"):
        assert read_classes(path) == ["cat;dog"]
    path.write_text("cat\tdog\n")
    with pytest.raises(ValueError, match=r"a\.txt, line 1: 'cat\\tdog' is not a name"):
        read_classes(path)


@pytest.mark.parametrize("text", ["n02123045 tabby, tabby cat\nn02085620 Chihuahua\n", "n02123045 tabby, a"])
def test_wordnet_ids_are_no_part_of_names(tmp_path: Path, text: str) -> None:
    path = tmp_path / "synsets.txt"
    path.write_text(text)
    assert read_classes(path) == ["tabby", "Chihuahua"][: text.count("n0")]
