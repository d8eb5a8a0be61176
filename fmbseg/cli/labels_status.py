"""``fmbseg labels status``: how far a labelling is."""

from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import Labels

if TYPE_CHECKING:
    from fmbseg.labels.status import LabelStatus


def status(
    folder: Labels,
    failures: Annotated[
        bool, typer.Option("--failures", help="Also name every photograph that could not be labelled.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Tell how far a labelling is, from any machine that reads its folder or URI, while it runs or after."""
    from json import dumps

    from fmbseg.labels.status import status as told

    found = told(folder, failures=failures)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))  # in ASCII, which no terminal takes for commands
        return
    from fmbseg.escaping import terminal

    for line in _lines(folder, found):
        typer.echo(terminal(line))


def _lines(folder: str, found: "LabelStatus") -> list[str]:
    count = (
        f"{folder}: {found.shards:,} of {found.all_shards:,} shards, {found.photographs:,} of "
        f"{found.all_photographs:,} photographs, {found.failed:,} of them could not be labelled"
    )
    lines = [
        count,
        *(f"  {reason}: {count:,}" for reason, count in found.reasons.items()),
        *(f"damaged: {name}: {why}" for name, why in found.damaged.items()),
        _activity(found),
    ]
    return lines + [f"not labelled: {row['path']}: {row['error']}" for row in found.failures]


def _activity(found: "LabelStatus") -> str:
    from datetime import datetime, timedelta

    when = (
        "at an unknown time"
        if found.last is None
        else f"{datetime.fromtimestamp(found.last):%Y-%m-%d %H:%M:%S}"
    )
    if found.finished:
        return f"finished; last written {when}"
    state = "active" if found.active else "not active: stopped, or slower than before"
    parts = [f"{state}; last written {when}"]
    if found.rate:
        parts.append(f"{found.rate:.2f} photographs/s in the hour before")
    if found.left is not None and found.active:
        parts.append(f"{timedelta(seconds=round(found.left))} left")
    return ", ".join(parts)
