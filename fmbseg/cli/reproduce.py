"""``fmbseg reproduce``: the paper's Table 1, or one of its ablations, in one command."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbseg.cli.options import DeviceName, with_hub_options, with_options

if TYPE_CHECKING:
    from fmbseg.models.loading.hub_files import HubOptions
    from fmbseg.reproduce.plan import Plan


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """What ``fmbseg reproduce`` takes."""

    root: Annotated[Path, typer.Option(help="Folder of the data sets, as of TCL and mmsegmentation.")]
    out: Annotated[Path | None, typer.Option(help="Folder of the results; a stopped run goes on.")] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is here, what is missing, gigabytes and hours; stop.")
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print one JSON object.")] = False
    recipe: Annotated[str, typer.Option(help="Recipe; the paper's is called paper.")] = "paper"
    sets: Annotated[
        str | None, typer.Option(help="Sets to measure on, separated by commas: voc21,ade20k150, ...")
    ] = None
    limit: Annotated[int | None, typer.Option(help="Only the first N photographs of each set.")] = None
    beside: Annotated[
        list[str] | None,
        typer.Option(help="A head or another method, as for `fmbseg eval`, to measure too; repeatable."),
    ] = None
    ablation: Annotated[
        str | None,
        typer.Option(help="Instead of Table 1: stage, draw, labels, loss or finetune."),
    ] = None
    part: Annotated[
        str | None,
        typer.Option(help="One part of labelling and measuring: 1/8 is the first of eight that share OUT."),
    ] = None
    device: DeviceName = None

    def plan(self) -> "Plan":
        """What to do.

        Raises:
            ValueError: a name that does not exist, or a limit below 1.
        """
        from fmbseg.evaluation.table import COLUMNS
        from fmbseg.reproduce.plan import ablation, table_1

        sets = None if self.sets is None else [name.strip() for name in self.sets.split(",") if name.strip()]
        if self.ablation is None:
            chosen = list(COLUMNS) if sets is None else sets
            return table_1(self.recipe, chosen, beside=self.beside or (), limit=self.limit)
        if self.beside:
            raise typer.BadParameter("--beside goes with Table 1, not with --ablation")
        if sets is None:
            return ablation(self.ablation, self.recipe, limit=self.limit)
        return ablation(self.ablation, self.recipe, sets, limit=self.limit)


@with_hub_options
@with_options(ReproduceOptions)
def reproduce(asked: ReproduceOptions, *, hub: "HubOptions") -> None:
    """Label COCO-Stuff, fit a head and measure it on seven sets: the paper's Table 1, or an ablation.

    Each step is done once: a run that was stopped goes on, and what is there and fits is not made again.
    """
    plan = asked.plan()
    if asked.dry_run:
        _forecast(plan, asked, hub)
        return
    if asked.as_json:
        raise typer.BadParameter("--json goes with --dry-run")
    if asked.out is None:
        raise typer.BadParameter("give the folder of the results with --out")
    from fmbseg.part import Part
    from fmbseg.reproduce.run import Waiting
    from fmbseg.reproduce.run import reproduce as carry_out

    try:
        table = carry_out(
            plan,
            asked.root,
            asked.out,
            hub=hub,
            device=asked.device,
            part=None if asked.part is None else Part.of(asked.part),
            progress=True,
            say=lambda line: typer.echo(line, err=True),
        )
    except Waiting as waiting:
        typer.echo(str(waiting))
        return
    typer.echo(table.to_markdown())
    typer.echo(f"{asked.out / 'table.md'}: the table")


def _forecast(plan: "Plan", asked: ReproduceOptions, hub: "HubOptions") -> None:
    from fmbseg.reproduce.forecast import forecast

    found = forecast(plan, asked.root, hub=hub, device=asked.device)
    typer.echo(json.dumps(found.to_dict(), indent=2) if asked.as_json else "\n".join(found.lines()))
