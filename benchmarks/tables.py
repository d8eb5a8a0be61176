"""The tables of the pages, made from the results that the benchmarks left in ``benchmarks/results``.

``python benchmarks/tables.py`` writes them between the marks of README.md, docs/backbones.md and
docs/benchmarks.md; with ``--check`` it writes nothing, and exits with 1 if a page says something else than
the results.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import zoo
from benchmarks.ablations import markdown
from fmbseg.alignment.settings import TrainingSettings
from fmbseg.models.backbones.presets import PRESETS
from fmbseg.recipes import get_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

NO_BENCHMARKS = {"demo_metrics"}  # what `fmbseg demo` writes, kept as an example
CONDITIONS = {"benchmark", "settings", "arguments", "versions", "machine", "threads", "schema_version"}
MOST_ROWS = 60

TITLES = {
    "zoo": "Heads that come with the package",
    "quality_offline": "Quality of the offline chain",
    "regions": "Region prompts",
    "one_word": "One word alone, beside common words as background",
    "few_photographs": "A dozen photographs and everyday words",
    "tsupcon": "The loss TSupCon",
    "learning_curve": "More photographs, and true masks",
    "learning_curve_lite2": "The same with one classifier instead of three",
    "second_round": "A second round of labels",
    "ablations": "Ablations: loss, head, temperature, masks",
    "ablations_recipe": "Ablations: the offline recipe",
    "ablations_paper": "Ablations: the paper's training",
    "certainty": "How right is what is not left blank",
    "feature_cache": "The feature cache",
    "loading": "Features of photographs: read ahead, one pass for several",
    "label_throughput": "Throughput of Stage 1",
    "prefilter": "Words left out before a teacher is asked",
    "adaptive_sampling": "Fewer points for segment-everything",
    "backbones": "Overhead of backbones",
    "inference": "Inference",
    "beside_composition": "Segmentation beside the plainest composition of its parts",
    "training": "An epoch of training beside the former way",
    "choose_settings": "Settings of the offline recipe, chosen anew on fold train",
    "scale": "Many machines: what labelling costs the process that asks",
    "scale_two_processes": "Many machines: two processes on two cores",
    "imports": "Imports and the command line: how long a start takes",
    "app": "The page: its start, a change of words",
    "app_memory": "The page: its memory",
    "compare": "Methods side by side",
    "compare_cost": "Methods side by side: what they cost together",
    "compare_cost_dense": "Dense maps of one model side by side: what they share",
}
"""Titles of the sections, in the order of the page; results of other names come last, under their names."""

VARIANTS = {
    "dense": "the image-text model's dense map alone",
    "dense_stage1": "the dense map that Stage 1 takes",
    "stage1_1": "masks from points",
    "stage1_2": "masks of everything, named",
    "both": "both stages' masks in one map",
    "aligned_alone": "the segmenter after alignment, the head alone",
    "aligned_mixed": "the head, and what the image-text model sees by itself",
    "aligned": "both, naming the masks of everything (`--refine masks`)",
}


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(["side", "seconds"], [["ours", 1.25], ["plain", None]]))
        | side | seconds |
        |---|---|
        | ours | 1.25 |
        | plain |  |
    """
    lines = [heads, ["---"] * len(heads), *[[_text(value) for value in row] for row in rows]]
    return "\n".join(
        f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def quality(result: Mapping[str, Any]) -> str:
    """The variants of ``quality_offline``, a row each."""
    rows = [
        [f"`{name}`", what, f"{result[name]['miou']:.3f}", f"{result[name]['seconds_per_image']:.2f}"]
        for name, what in VARIANTS.items()
        if name in result
    ]
    return table(["variant", "what it is", "mIoU", "seconds an image"], rows)


def backbones(result: Mapping[str, Any]) -> str:
    """Every preset beside the bare model, a row each."""
    rows = [
        [
            f"`{name}`",
            row["size"],
            f"{row['images_per_second']:.3g}",
            f"{row['bare_images_per_second']:.3g}",
            f"{row['overhead']:+.1%}".replace("%", " %"),
            row["pairs"],
            f"{row['peak_memory_gb']:.1f} GB",
        ]
        for name, row in sorted(result["presets"].items(), key=lambda row: _place(row[0]))
    ]
    heads = ["preset", "size", "images a second", "bare", "overhead", "pairs", "peak memory"]
    return f"{table(heads, rows)}\n\n{overhead(result)}"


def overhead(result: Mapping[str, Any]) -> str:
    """What the table of ``backbones`` comes to."""
    median, largest = (
        f"{result[key]:+.1%}".replace("%", " %") for key in ("median_overhead", "largest_overhead")
    )
    return f"Median overhead {median}, largest {largest}."


def _place(preset: str) -> int:
    """Where a preset stands among all; what is none comes last."""
    return list(PRESETS).index(preset) if preset in PRESETS else len(PRESETS)


def plain(result: Mapping[str, Any]) -> str:
    """Any result: its single figures in one table, a table for each group of rows, and its parts below."""
    shown = {name: value for name, value in result.items() if name not in CONDITIONS}
    parts = {
        name: value for name, value in shown.items() if isinstance(value, dict) and CONDITIONS & set(value)
    }
    shown = {name: value for name, value in shown.items() if name not in parts}
    alike = _alike(shown)
    figures, tables = [], [_row_table("", alike)] if alike else []
    for name, value in shown.items():
        rows = _rows(value)
        if rows is not None:
            tables.append(_row_table(name, rows))
        elif name not in alike:
            figures += list(_flat({name: value}).items())
    first = [table(["figure", "value"], [[f"`{name}`", value] for name, value in figures])] if figures else []
    below = [f"### `{name}`\n\n{plain(value)}" for name, value in parts.items()]
    return "\n\n".join([*first, *tables, *below])


def _alike(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The largest group of mappings with the same several figures, which are rows of one table."""
    groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for name, value in values.items():
        if isinstance(value, dict) and len(value) > 1:
            groups.setdefault(tuple(value), {})[name] = value
    largest = max(groups.values(), key=len, default={})
    return largest if len(largest) > 1 else {}


def _rows(value: object) -> dict[str, Mapping[str, Any]] | None:
    """A group of rows by name: a list of mappings, or a mapping of several."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return {str(number): row for number, row in enumerate(value, start=1)}
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(row, dict) for row in value.values()):
        return value
    return None


def _row_table(name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    if len(rows) > MOST_ROWS:
        return f"`{name}`: {len(rows)} rows, in the file."
    flat = {row: _flat(values) for row, values in rows.items()}
    heads = list(dict.fromkeys(head for values in flat.values() for head in values))
    return table(
        [f"`{name}`" if name else "", *heads],
        [[f"`{row}`", *(values.get(head) for head in heads)] for row, values in flat.items()],
    )


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, object]:
    """Single figures by name, those of inner mappings under both names; lists of figures in one cell."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif not isinstance(value, list):
            flat[before + name] = value
        elif len(value) <= 12 and not any(isinstance(item, (dict, list)) for item in value):
            flat[before + name] = ", ".join(_text(item) for item in value) or "none"
    return flat


def _backbones_elsewhere(result: Mapping[str, Any]) -> str:
    return f"{overhead(result)} All {len(result['presets'])} presets: [backbones](backbones.md#speed)."


def ablations(result: Mapping[str, Any]) -> str:
    """The rows of ``ablations``, and what they were measured on."""
    changed = ", ".join(f"{name} {_text(value)}" for name, value in changed_training(result).items())
    return (
        f"{result['trained']['photographs']} photographs learned from, "
        f"{result['measured']['photographs']} measured on, seeds {result['settings']['seeds']}, backbone "
        f"`{result['settings']['models']['backbone']}`; mean mIoU and standard deviation. Other than in the "
        f"recipe: {changed or 'nothing'}.\n\n{markdown(result['rows'])}"
    )


def changed_training(result: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the base that differ from the recipe's."""
    usual = TrainingSettings.from_dict(get_recipe(result["settings"]["recipe"]).training).to_dict()
    base = result["settings"]["training"]
    return {name: value for name, value in base.items() if value != usual.get(name)}


def comparison(result: Mapping[str, Any]) -> str:
    """What ``fmbseg compare`` wrote to ``comparison.json``, a row a method."""

    def percents(values: Sequence[float] | None) -> str:
        return "" if values is None else " to ".join(f"{100 * value:.1f}" for value in values)

    rows = []
    for one in result["methods"]:
        figures, over = one["figures"], one["over_first"].get("miou")
        rows.append(
            [
                f"`{one['method']}`",
                f"{percents([figures['miou']])} ({percents(one['intervals']['miou'])})",
                "" if over is None else f"{percents(over[:1])} ({percents(over[1:])})",
                *(percents([figures[name]]) for name in ("miou_present", "pixel_accuracy", "boundary_iou")),
                f"{one['seconds']:.2f}",
            ]
        )
    heads = ["method", "mIoU, % (90 %)", "over the first", "mIoU of classes shown", "pixel accuracy"]
    data = result["data"]
    about = (
        f"{result['measured']} images of `{data['name']}`, fold {data['split']}, protocol "
        f"`{result['protocol']['name']}`; differences are paired. The settings of the offline recipe were "
        "found on these images, but for region prompts, certainty and masks' names; held against others on "
        "fold train they stay (`choose_settings`). What `stage1` leaves blank counts as missed. "
        f"`{result['command']}`"
    )
    return f"{table([*heads, 'boundary IoU', 's/image'], rows)}\n\n{about}"


def chosen_settings(result: Mapping[str, Any]) -> str:
    """What ``choose_settings`` chose of each part, beside the recipe's own."""
    crops, each = result["labeling"]["crops"], result["labeling"]["masks"] | result["training"]
    heads = ["setting", "recipe", "best", "best of the others", "less the recipe's (90 %)", "goes to"]
    about = (
        f"Measured on the {result['photographs']} photographs of fold {result['fold']}, 80 names, in mIoU. "
        "Best of the others: each photograph with what is best on all others. The recipe's own goes only "
        "where that is surely better."
    )
    return "\n\n".join(
        [
            _of_many("Segmenting, without masks", result["segmenting"]),
            _of_many("Crops of Stage 1, everything painted", crops),
            "Masks of Stage 1 with the best of these crops, and the training of a head, a setting at a time:",
            table(heads, [_choice(name, found) for name, found in each.items()]),
            about,
            *_reported(result),
        ]
    )


def _of_many(title: str, found: Mapping[str, Any]) -> str:
    """The best ten of many combinations, and what became of them."""
    best = sorted(found["candidates"], key=lambda one: -one[-1])[:10]
    told = (
        f"{title}: the best of {len(found['candidates'])} is {_settings(found['chosen'])}, mIoU "
        f"{100 * found['chosen_miou']:.1f} %; the recipe's own are {_settings(found['recipe'])}, "
        f"{100 * found['recipe_miou']:.1f} %. Each photograph with the best of the others: "
        f"{100 * found['chosen_on_others_miou']:.1f} %, difference {_ends(found)}: "
        f"the recipe's {'stay' if found['recipe_stays'] else 'go'}."
    )
    rows = [[*map(_text, one[:-1]), f"{100 * one[-1]:.1f}"] for one in best]
    return f"{told}\n\n{table([*found['chosen'], 'mIoU, %'], rows)}"


def _choice(name: str, found: Mapping[str, Any]) -> list[str]:
    return [
        f"`{name}`",
        f"{_text(found['recipe'])}: {100 * found['recipe_miou']:.1f} %",
        f"{_text(found['chosen'])}: {100 * found['chosen_miou']:.1f} %",
        f"{100 * found['chosen_on_others_miou']:.1f} %",
        _ends(found),
        "" if found["recipe_stays"] else _text(found["chosen"]),
    ]


def _ends(found: Mapping[str, Any]) -> str:
    return " to ".join(f"{100 * end:+.1f}" for end in found["chosen_on_others_over_recipe"])


def _settings(found: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` {_text(value)}" for name, value in found.items())


def _reported(result: Mapping[str, Any]) -> list[str]:
    """The recipe's and the chosen settings, with masks, on the other fold."""
    if "val" not in result:
        return []
    told = []
    for name, one in result["val"]["methods"].items():
        low, high = (100 * end for end in one["interval"])
        over = one["over_first"]
        beside = (
            "" if over is None else ", difference " + " to ".join(f"{100 * end:+.1f}" for end in over[1:])
        )
        told.append(f"`{name}` {100 * one['miou']:.1f} % ({low:.1f} to {high:.1f}){beside}")
    return [
        f"With masks, the first {result['val']['photographs']} photographs of fold val: {'; '.join(told)}."
    ]


RENDERERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "choose_settings": chosen_settings,
    "backbones": _backbones_elsewhere,
    "compare": comparison,
    "ablations": ablations,
    "ablations_recipe": ablations,
    "ablations_paper": ablations,
}


def section(
    name: str,
    result: Mapping[str, Any],
    renderers: Mapping[str, Callable[[Mapping[str, Any]], str]] = RENDERERS,
) -> str:
    """One benchmark on the page: its title, its tables, and under what conditions it was measured."""
    body = renderers.get(name, plain)(result)
    conditions = {key: result[key] for key in ("threads", "machine", "versions") if key in result}
    told = ", ".join(f"{key.rpartition('.')[2]} {_text(value)}" for key, value in _flat(conditions).items())
    file = f"`benchmarks/results/{name}.json`"
    return f"## {TITLES.get(name, name)}\n\n{body}\n\n*{file}{': ' if told else ''}{told}.*"


def heads(result: Mapping[str, Any], seconds: Mapping[str, Any]) -> str:
    """The packaged heads that were measured, a row each, and what the figures are of."""
    measured = result["heads"]
    rows = [zoo.row(name, measured[name], seconds) for name in sorted(measured)]
    notes = dict.fromkeys(zoo.note(one, seconds) for one in measured.values())
    return "\n\n".join([table(zoo.HEADS, rows), *notes])


def contents(results: Path = RESULTS) -> dict[tuple[str, str], str]:
    """What belongs where: page and mark, and the text between the two marks."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(results.glob("*.json"))}
    names = [name for name in [*TITLES, *sorted(found.keys() - TITLES.keys())] if name in found]
    zoo_table = heads(found["zoo"], found["quality_offline"])
    renderers = {**RENDERERS, "zoo": lambda _: zoo_table}
    sections = [section(name, found[name], renderers) for name in names if name not in NO_BENCHMARKS]
    return {
        ("README.md", "heads"): zoo_table,
        ("README.md", "quality"): quality(found["quality_offline"]),
        ("docs/backbones.md", "benchmark"): backbones(found["backbones"]),
        ("docs/benchmarks.md", "results"): "\n\n".join(sections),
    }


def fill(text: str, mark: str, content: str) -> str:
    """Put ``content`` between ``<!-- mark: begin -->`` and ``<!-- mark: end -->``.

    Raises:
        ValueError: the page does not have each mark once.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"a page needs {begin} and {end} once each")
    head, rest = text.split(begin)
    return f"{head}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def main(command: Sequence[str] | None = None) -> None:
    """Write the tables, or tell which pages are stale."""
    parser = argparse.ArgumentParser(description="Write the tables of the pages from benchmarks/results.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args(command).check
    stale = []
    for (page, mark), content in contents().items():
        path = ROOT / page
        text = path.read_text("utf-8")
        filled = fill(text, mark, content)
        if filled != text:
            stale.append(page)
            if not check:
                path.write_text(filled, "utf-8")
    print(f"{'stale' if check else 'written'}: {', '.join(dict.fromkeys(stale)) or 'none'}")
    if check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
