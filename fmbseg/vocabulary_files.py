"""Class names in the forms that tools write: lists, tables of indices, label maps, captions."""

from __future__ import annotations

import csv
import re
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from fmbseg.files import check_regular, parse_json, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Classes: TypeAlias = "list[Any] | dict[Any, Any]"
"""Names in order, or a mapping {word: class}, or what ``Vocabulary.to_dict`` gave."""

_LINES = (".txt", ".names")  # the second is Darknet's
SUFFIXES = (*_LINES, ".json", ".yaml", ".yml")
_MAX_TEXT_BYTES = 1 << 26
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_KEYS = ("names", "classes", "labels", "categories", "id2label", "label2id")
_SAVED = frozenset({"prompts", "background", "templates"})

_COMMENT = re.compile(r"(^|\s)#.*")
_CAPTION_END = re.compile(r"\s*\.(?:\s+|$)")
_CAPTION = re.compile(r".*\s\.(\s.*|$)|([^.]+\.\s+)+[^.]+\.")  # "cat . dog ." or "cat. dog."
# Each has the name in its group "name", and the index, where there is one, in "index".
_INDEX = r"""["']?(?P<index>\d+)["']?"""
_COLOUR = r"\d+[\s,;]+\d+[\s,;]+\d+"
_TABLES = {
    "WordNet's id and names": re.compile(r"n\d{8}[\s,:]+(?P<name>[^\s,][^,]*).*"),
    "index, name and colour": re.compile(rf"{_INDEX}[\s,;:]+(?P<name>\D.*?)[\s,;:]+{_COLOUR}"),
    "name and colour": re.compile(rf"(?P<name>\D.*?)[\s,;:]+{_COLOUR}"),
    "colour and name": re.compile(rf"{_COLOUR}[\s,;:]+(?P<name>\D.*)"),
    "CVAT's label map": re.compile(r"(?P<name>[^:]+):\d+,\d+,\d+:[^:]*:[^:]*"),
    "index and name": re.compile(rf"{_INDEX}\s*(?:[\t:=,]\s*|[.)]\s+)(?P<name>\S.*)"),
    "index, space and name": re.compile(rf"{_INDEX}\s+(?P<name>[^\d\s].*)"),
    "name and index": re.compile(rf"(?P<name>.*\S)\s*[\t:=,]\s*{_INDEX}"),
}


def read_classes(path: Path) -> Classes:
    """Read the class names of a file.

    Lines (``.txt``, ``.names``): a name a line, with or without quotation marks, ``- `` before it or a comma
    behind; a table of indices and names (``0: cat``, ``1<TAB>cat``, ``2 cat``, ``cat: 0``), of names and
    colours, or CVAT's label map; a caption as GroundingDINO takes it (``cat . dog .``). ``#`` starts a
    comment.
    ``.json``: a list of names or of objects with a name; a mapping of indices to names, of names to indices
    or of words to classes; COCO's ``categories``. ``.yaml``: a list, or YOLO's ``names``.

    Args:
        path: of the file; in UTF-8, or UTF-16 with its mark.

    Raises:
        ValueError: it has another form; the message names the line if possible.
        OSError: it cannot be read, or is not a regular file.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _of_content(read_json(path))
    if suffix not in SUFFIXES:
        raise ValueError(
            f"a file of names ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, not {suffix!r}"
        )
    text = _read_text(path)
    if suffix not in _LINES or re.search(r"^names:", text, re.MULTILINE):
        return _of_content(_parse_yaml(text))
    if text.lstrip()[:1] in ("[", "{"):
        return _of_content(_parse_flow(text, path))
    return _of_lines(text, path)


def is_saved(content: Classes) -> TypeGuard[dict[str, Any]]:
    """Whether this came from ``Vocabulary.to_dict``, complete or not."""
    return isinstance(content, dict) and "names" in content and bool(_SAVED & content.keys())


def split_words(text: str, where: str = "--classes") -> list[str]:
    """Words separated by commas; what is left between two commas is dropped if empty.

    A word that holds a comma stands in quotation marks. A caption, as GroundingDINO takes it, is taken apart,
    and the indices of ``0: cat, 1: dog`` are not part of the names. Doubtful words are taken with a warning.

    Args:
        text: the words, on one line or several.
        where: they stand, for messages.

    Raises:
        ValueError: a quotation mark is not closed.

    Example:
        >>> split_words("cat, coffee cup,")
        ['cat', 'coffee cup']
        >>> split_words('"salt, pepper",dog'), split_words("cat . dog .")
        (['salt, pepper', 'dog'], ['cat', 'dog'])
        >>> split_words("0: cat, 1: dog")
        ['cat', 'dog']
    """
    if _CAPTION.fullmatch(text.strip()) and "," not in text:
        return _split_caption(text)
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"the words {text!r} have a quotation mark that is not closed ({error})") from error
    words = [word.strip() for row in rows for word in row if word.strip()]
    table = _of_table(dict(enumerate(words)))
    if table is not None:
        return table
    for word in words:
        _tell_doubts(word, where, is_quoted="," in word)
    _tell_numbers(words, where)
    return words


def _read_text(path: Path) -> str:
    check_regular(path)
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise ValueError(f"{path.stat().st_size:,} bytes are too many for a list of names")
    content = path.read_bytes()
    encoding = _MARKS.get(content[:2], "utf-8-sig")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8 text; save the file in UTF-8") from error


# JSON and YAML


def _parse_flow(text: str, path: Path) -> Any:
    try:
        return parse_json(text, path)
    except ValueError:  # a list as Python prints it is YAML
        return _parse_yaml(text)


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        # A loader that makes strings alone, for a class may be called "no", and that runs nothing.
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ValueError(f"{where}not YAML ({problem})") from error
    except RecursionError as error:
        raise ValueError("YAML that cannot be read: it is nested too deeply") from error


def _of_content(content: Any) -> Classes:
    if isinstance(content, dict):
        return _of_mapping(content)
    if isinstance(content, list):
        if content and all(isinstance(one, dict) and _is_index(one.get("id")) for one in content):
            content = sorted(content, key=lambda one: int(one["id"]))
        return [_name_of(one) for one in content]
    raise ValueError("it holds neither a list of names nor a mapping {word: class}")


def _of_mapping(content: Mapping[Any, Any]) -> Classes:
    held = [key for key in _KEYS if isinstance(content.get(key), (list, dict))]
    if held and not (_SAVED & content.keys()):
        return _of_content(content[held[0]])
    if content and all(_is_index(key) for key in content):
        return _in_order({int(key): name for key, name in content.items()}, len(content))
    if content and all(_is_index(index) for index in content.values()):
        return _in_order({int(index): name for name, index in content.items()}, len(content))
    if any(_is_index(key) for key in content):
        raise ValueError("its keys are numbers and words; a mapping is {word: class} or {index: class}")
    return dict(content)


def _is_index(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"[0-9]{1,9}", value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def _in_order(names: Mapping[int, Any], entries: int) -> list[Any]:
    if len(names) < entries:
        raise ValueError("an index is used twice; give each class its own")
    return [_name_of(names[index]) for index in sorted(names)]


def _name_of(entry: Any) -> Any:
    """The name of a COCO category or similar object; anything else unchanged."""
    return entry["name"] if isinstance(entry, dict) and "name" in entry else entry


# Lines


def _of_lines(text: str, path: Path) -> list[str]:
    whole = {number: _COMMENT.sub("", line).strip() for number, line in enumerate(text.splitlines(), start=1)}
    lines = {number: _bare(line) for number, line in whole.items() if line}
    if len(lines) == 1 and list(lines.values()) == [line for line in whole.values() if line]:
        ((number, line),) = lines.items()
        where = f"{path}, line {number}"
        _check_line(line.replace("\t", " ") if "," in line else line, where)
        return _of_table(lines) or split_words(line, where)  # a list as on the command line
    table = _of_table(lines)
    if table is not None:
        return table
    names = []
    for number, line in lines.items():
        _check_line(line, f"{path}, line {number}")
        _tell_doubts(line, f"{path}, line {number}", is_quoted=whole[number] != line)
        names += _split_caption(line) if _CAPTION.fullmatch(line) else [line]
    _tell_numbers(names, str(path))
    return names


def _bare(line: str) -> str:
    """A line without list markers and without enclosing quotation marks."""
    line = re.sub(r"^[-*]\s+", "", line)
    whole = re.fullmatch(r"""(?P<mark>["'])(?P<name>(?:(?!(?P=mark)).)+)(?P=mark)\s*,?""", line)
    return whole["name"].strip() if whole else line.removesuffix(",").rstrip()


def _of_table(lines: Mapping[int, str]) -> list[str] | None:
    """The names of a table, if every line is a row of one, in the order of its indices if it has them."""
    for form, pattern in _TABLES.items():
        rows = [pattern.fullmatch(line) for line in lines.values()]
        found = [row for row in rows if row]
        if not found or len(found) < len(lines):
            continue
        if "index" not in pattern.groupindex:
            return [_bare(row["name"]) for row in found]
        indices = [int(row["index"]) for row in found]
        if form == "index, space and name" and not _counts_up(indices):  # such as "7 up", "101 dalmatians"
            continue
        return _in_order({int(row["index"]): _bare(row["name"]) for row in found}, len(found))
    return None


def _counts_up(indices: list[int]) -> bool:
    return len(indices) > 1 and indices == list(range(indices[0], indices[0] + len(indices)))


def _split_caption(text: str) -> list[str]:
    return [word.strip() for word in _CAPTION_END.split(text) if word.strip()]


_DOUBTS: tuple[tuple[Callable[[str], object], str], ...] = (
    (
        lambda line: re.search(r"[,;|]", line),
        "is taken as one name; give one name a line, several words for one class as JSON: {word: class}",
    ),
    (lambda line: line.isdecimal(), "is a number; it is taken as a name"),
    (
        lambda line: line.startswith("'") and not line.endswith("'"),
        """begins with a quotation mark; a name that holds a comma stands in double ones: "salt, pepper\"""",
    ),
)


def _check_line(line: str, where: str) -> None:
    if re.search(r"[\t{}]|^<([!/?]|(html|head|body|div|p)\b)", line):
        raise ValueError(
            f"{where}: {line!r} is not a name, nor are the lines a known kind of table; one name per line"
        )


def _tell_doubts(name: str, where: str, *, is_quoted: bool) -> None:
    for is_doubtful, what in _DOUBTS:
        if is_doubtful(name) and not is_quoted:
            warnings.warn(f"{where}: {name!r} {what}", stacklevel=6)


def _tell_numbers(names: list[str], where: str) -> None:
    """Warn of what may be a table whose indices leave gaps; "7 up" beside other names is none."""
    if len(names) > 1 and all(re.fullmatch(r"\d+\s+[^\d\s].*", name) for name in names):
        warnings.warn(
            f"{where}: the numbers are taken as parts of the names, {names[0]!r} first; if they are indices, "
            "write a colon behind each, or leave them out",
            stacklevel=6,
        )
