"""Vocabularies from every source, and the shipped lists against facts written down elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbseg.vocabularies import benchmark_classes, benchmark_names, imagenet_class_names
from fmbseg.vocabulary import Vocabulary, meaning_of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
VOCABULARIES = st.lists(WORDS, min_size=1, max_size=8, unique=True).map(Vocabulary.of)


# ---------------------------------------------------------------- sources


def test_list_of_names() -> None:
    vocabulary = Vocabulary.of(["dog", "  sofa ", "grass"])
    assert vocabulary.names == ("dog", "sofa", "grass")
    assert vocabulary.prompts == (("dog",), ("sofa",), ("grass",))
    assert vocabulary.background == frozenset()
    assert len(vocabulary) == 3
    assert list(vocabulary) == ["dog", "sofa", "grass"]
    assert Vocabulary.of(vocabulary) is vocabulary


def test_mapping_joins_words_in_the_order_of_first_appearance() -> None:
    vocabulary = Vocabulary.of({"kitten": "cat", "dog": "dog", "cat": "cat"})
    assert vocabulary.names == ("cat", "dog")
    assert vocabulary.prompts == (("kitten", "cat"), ("dog",))


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "words.TXT"
    path.write_bytes(b"\xef\xbb\xbf# my words\r\nd\xc3\xb6ner\r\n\r\n  hot dog  # a food\r\n")
    for source in (path, str(path)):
        assert Vocabulary.of(source).names == ("döner", "hot dog")


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        (["cat", "dog"], (("cat",), ("dog",))),
        ({"kitten": "cat", "puppy": "dog", "dog": "dog"}, (("kitten",), ("puppy", "dog"))),
    ],
)
def test_json_file(tmp_path: Path, content: Any, prompts: Any) -> None:
    path = tmp_path / "words.json"
    path.write_text(json.dumps(content))
    vocabulary = Vocabulary.of(path)
    assert vocabulary.names == ("cat", "dog")
    assert vocabulary.prompts == prompts


def test_saved_vocabulary_is_read_back_from_json(tmp_path: Path) -> None:
    saved = Vocabulary.of("voc21", templates=["a {}.", "{}"])
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(saved.to_dict()))
    assert Vocabulary.of(path) == saved


def test_a_path_object_is_a_file_even_if_it_is_called_like_a_benchmark(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"voc20: a file of names ends in"):
        Vocabulary.of(tmp_path / "voc20")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "empty; give at least one"),
        ({}, "empty; give at least one"),
        (["cat", "dog", " cat"], "class named twice: 'cat'"),
        (["cat", " "], r"class 1 is empty \(' '\)"),
        (["cat\ndog"], r"class 0 spans several lines: 'cat\\ndog'"),
        (["cat", 3], "class 1 must be text, got int 3"),
        ({"cat": ""}, "the class of 'cat' is empty"),
        ({"cat": "cat", " cat": "dog"}, "word 'cat' stands for 'cat' and for 'dog'"),
        (7, "not int 7"),
        ("dog", r"there is no class list 'dog'.*For words give a list, \['dog'\]"),
        ("voc2O", "did you mean .*'voc20'"),
        ("words.csv", "for a file, a path that ends in .txt"),
        ("no/such/words.txt", "no vocabulary in no/such/words.txt: .*No such file"),
    ],
)
def test_what_is_no_vocabulary_says_why(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "# nothing but a comment\n", "a.txt: the vocabulary is empty"),
        ("a.txt", "cat\ndog\ncat\n", "a.txt: class named twice: 'cat'"),
        ("a.json", "{", "a.json cannot be read as JSON .Expecting"),
        ("a.json", '"cat"', "neither a list of names nor a mapping"),
        ("a.json", '{"cat": ["kitten"]}', "the class of 'cat' must be text, got list"),
        ("a.json", '{"names": ["cat"], "prompts": [["cat"]]}', "lacks background, templates"),
        ("a.csv", "cat", "ends in .txt, .names, .json, .yaml or .yml, not '.csv'"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(path)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        (["a photo"], "'a photo' has 0 slots {}"),
        (["a {} and a {}"], "has 2 slots"),
        (["a {name}"], "has 0 slots"),
        ([], "no template"),
        ("a {}.", r"templates is a list; write \['a {}.'\]"),
    ],
)
def test_templates_need_one_slot(templates: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.of(["cat"], templates=templates)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names, but words for 1 classes"):
        Vocabulary(("cat", "dog"), prompts=(("cat",),))
    with pytest.raises(ValueError, match="class 'dog' has no word"):
        Vocabulary(("cat", "dog"), prompts=(("cat",), ()))
    with pytest.raises(ValueError, match=r"background names class \[2\]"):
        Vocabulary(("cat", "dog"), background=frozenset({0, 2}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("names", "cat", "names of a saved vocabulary is a list, not str 'cat'"),
        ("prompts", 3, "prompts of a saved vocabulary is a list, not int 3"),
        ("prompts", ["cat"], "the words of class 0 are a list, not str 'cat'"),
        ("prompts", [None], "the words of class 0 are a list, not NoneType None"),
        ("prompts", [[["cat"]]], r"a word of class 0 must be text, got list"),
        ("background", {"0": 1}, "background of a saved vocabulary is a list, not dict"),
        ("background", ["0"], "background holds indices of classes, not str '0'"),
        ("background", [True], "background holds indices of classes, not bool True"),
        ("background", [[]], r"background holds indices of classes, not list \[\]"),
        ("templates", "a {}.", "templates of a saved vocabulary is a list, not str"),
        ("templates", [7], r"a template is text with one {}, not int 7"),
    ],
)
def test_a_saved_vocabulary_with_parts_of_another_type_is_refused(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps({**Vocabulary.of(["cat"]).to_dict(), key: value}))
    with pytest.raises(ValueError, match=rf"saved\.json: {message}"):
        Vocabulary.of(path)


def test_text_where_a_list_is_due_is_not_taken_letter_by_letter() -> None:
    with pytest.raises(ValueError, match=r"names is a list; write \['cat'\]"):
        Vocabulary("cat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the words of class 0 are a list, not str 'cat'"):
        Vocabulary(("cat",), prompts=("cat",))  # type: ignore[arg-type]


def test_names_with_a_meaning() -> None:
    classes = Vocabulary.of({"wall": "Background", "cat": "cat", "kitten": "cat", "rest": "void"})
    with pytest.warns(UserWarning, match="words: 'void' means pixels that do not count"):
        read = classes.with_meanings("words")
    assert read == Vocabulary(("Background", "cat"), (("wall",), ("cat", "kitten")), frozenset({0}))
    with pytest.warns(UserWarning, match="void"), pytest.raises(ValueError, match="empty"):
        Vocabulary.of(["void"]).with_meanings("words")


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "__background__", "BG", " bg "])
def test_names_that_mean_background(name: str) -> None:
    assert meaning_of_name(name) == "background"


@pytest.mark.parametrize(
    "name",
    [
        "ignore",
        "Ignore",
        "__ignore__",
        "void",
        "VOID",
        "unlabeled",
        "Unlabelled",
        "<void>",
        "ignored_regions",
        "ignore (iscrowd regions)",
    ],
)
def test_names_that_mean_pixels_that_do_not_count(name: str) -> None:
    assert meaning_of_name(name) == "ignore"


@pytest.mark.parametrize(
    "name", ["cat", "background wall", "voidless", "other", "unknown", "", "bga", "crane (machine)"]
)
def test_names_that_are_classes(name: str) -> None:
    assert meaning_of_name(name) is None


# ---------------------------------------------------------------- use


def test_index_offers_near_misses() -> None:
    vocabulary = Vocabulary.of(["cat", "dog", "sofa"])
    assert vocabulary.index("sofa") == 2
    with pytest.raises(KeyError, match="no class 'sofas'; did you mean 'sofa'"):
        vocabulary.index("sofas")


def test_texts_are_classes_by_words_by_templates() -> None:
    vocabulary = Vocabulary.of({"cat": "cat", "kitten": "cat", "{}": "braces"}, templates=["a {}.", "{}"])
    assert vocabulary.texts() == [
        (0, "a cat."),
        (0, "cat"),
        (0, "a kitten."),
        (0, "kitten"),
        (1, "a {}."),
        (1, "{}"),
    ]


def test_default_template_is_clips() -> None:
    assert Vocabulary.of(["dog"]).texts() == [(0, "a photo of a dog.")]


def test_without_background_moves_the_others_up() -> None:
    vocabulary = Vocabulary(("cat", "rest", "dog"), (("cat", "kitten"), ("rest",), ("dog",)), frozenset({1}))
    foreground = vocabulary.without_background()
    assert foreground == Vocabulary(("cat", "dog"), (("cat", "kitten"), ("dog",)))
    with pytest.raises(ValueError, match="empty"):
        Vocabulary(("rest",), background=frozenset({0})).without_background()


@given(VOCABULARIES)
def test_saved_form_is_json_and_leads_back(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary
    assert again.fingerprint == vocabulary.fingerprint


def test_fingerprint_tells_vocabularies_apart() -> None:
    different = [
        Vocabulary.of(["cat", "dog"]),
        Vocabulary.of(["dog", "cat"]),
        Vocabulary.of({"cat": "cat", "kitten": "cat", "dog": "dog"}),
        Vocabulary.of(["cat", "dog"], templates=["{}"]),
        Vocabulary(("cat", "dog"), background=frozenset({0})),
    ]
    assert len({vocabulary.fingerprint for vocabulary in different}) == len(different)


def test_fingerprint_does_not_change_between_versions() -> None:
    # sha256sum of {"background":[],"names":["cat"],"prompts":[["cat"]],"templates":["a photo of a {}."]}
    expected = "db8caeacd3e904f7d77bdf4dc8abf971a411aac0d264d2902c7ad0bf07739e40"
    assert Vocabulary.of(["cat"]).fingerprint == expected


# ---------------------------------------------------------------- shipped lists

SIZES = {
    "voc20": 20,
    "voc21": 21,
    "context59": 59,
    "context60": 60,
    "coco_object80": 80,
    "coco_object81": 81,
    "coco_stuff171": 171,
    "cityscapes19": 19,
    "cityscapes30": 30,
    "ade20k150": 150,
    "imagenet1k": 998,
}


def test_every_list_has_its_size_and_distinct_names() -> None:
    assert sorted(benchmark_names()) == sorted(SIZES)
    for name, size in SIZES.items():
        for spelling in (name, f"{name}:clean"):
            assert len(Vocabulary.of(spelling)) == len(set(benchmark_classes(spelling))) == size


@pytest.mark.parametrize(
    ("source", "index", "name"),
    [
        ("voc20", 0, "aeroplane"),
        ("voc20:clean", 0, "airplane"),
        ("voc20", 10, "diningtable"),
        ("voc20:clean", 10, "dining table"),
        ("voc20:clean", 19, "tv monitor"),
        ("voc21", 20, "tvmonitor"),
        ("context59", 49, "table"),
        ("context59", 39, "pottedplant"),
        ("context60:clean", 40, "potted plant"),
        ("context59", 58, "wood"),
        ("coco_stuff171", 0, "person"),
        ("coco_stuff171", 79, "toothbrush"),
        ("coco_stuff171", 80, "banner"),
        ("coco_stuff171", 84, "building-other"),
        ("coco_stuff171:clean", 84, "building"),
        ("coco_stuff171:clean", 168, "blind window"),
        ("coco_stuff171", 170, "wood"),
        ("coco_object80", 60, "dining table"),
        ("coco_object81", 61, "dining table"),
        ("cityscapes19", 7, "traffic sign"),
        ("cityscapes19", 18, "bicycle"),
        ("ade20k150", 7, "bed"),  # mmsegmentation's list has "bed " there; outer white space is stripped
        ("ade20k150", 149, "flag"),
        ("imagenet1k", 0, "tench"),
    ],
)
def test_classes_stand_where_the_benchmark_has_them(source: str, index: int, name: str) -> None:
    assert Vocabulary.of(source).names[index] == name


@pytest.mark.parametrize(("with_it", "without"), [("voc21", "voc20"), ("context60", "context59")])
def test_background_comes_first_and_is_marked(with_it: str, without: str) -> None:
    vocabulary = Vocabulary.of(with_it)
    assert vocabulary.names[0] == "background"
    assert vocabulary.background == frozenset({0})
    assert vocabulary.without_background() == Vocabulary.of(without)


def test_coco_objects_are_the_first_80_of_coco_stuff() -> None:
    stuff = Vocabulary.of("coco_stuff171").names
    assert Vocabulary.of("coco_object80").names == stuff[:80]
    assert Vocabulary.of("coco_object81").names == ("background", *stuff[:80])


def test_imagenet_merges_the_two_names_that_stand_twice() -> None:
    names = imagenet_class_names()
    assert len(names) == 1000
    assert {name for name in names if names.count(name) > 1} == {"crane", "maillot"}
    assert Vocabulary.of("imagenet1k").names == tuple(dict.fromkeys(names))


def test_benchmark_with_own_templates() -> None:
    assert Vocabulary.of("voc20:clean", templates=["{}"]).texts()[10] == (10, "dining table")


def _names(entries: list[Mapping[str, str] | str], key: str) -> list[str]:
    return [(entry if isinstance(entry, str) else entry.get(key, entry["name"])).strip() for entry in entries]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("voc20", "voc20"),
        ("context59", "context59"),
        ("coco_stuff171", "coco_stuff_171"),
        ("ade20k150", "ade150"),
        ("cityscapes19", "cityscapes19"),
    ],
)
def test_whole_lists_agree_with_the_reference(shared_data: Path, name: str, reference: str) -> None:
    entries = json.loads((shared_data.parent / "class_lists.json").read_text())[reference]
    assert benchmark_classes(name) == _names(entries, "name")
    assert benchmark_classes(f"{name}:clean") == _names(entries, "clean_name")


def test_data_file_of_coco_stuff_keeps_ids_and_kinds(shared_data: Path) -> None:
    reference = json.loads((shared_data.parent / "class_lists.json").read_text())["coco_stuff_171"]
    import fmbseg.vocabularies

    shipped = json.loads((Path(fmbseg.vocabularies.__path__[0]) / "coco_stuff171.json").read_text())[
        "classes"
    ]
    assert [(entry["png_id"], entry["coco_id"], entry["kind"]) for entry in shipped] == [
        (entry["png_id"], entry["coco_cat_id"], entry["kind"]) for entry in reference
    ]


def test_a_long_list_of_what_there_is_is_cut() -> None:
    with pytest.raises(KeyError) as caught:
        Vocabulary.of("coco_stuff171").index("toothbrsh")
    assert "did you mean 'toothbrush'?" in str(caught.value)
    assert str(caught.value).endswith("tennis racket, bottle and 131 more")  # the first 40 are shown
