import io
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from fmbseg.alignment.checkpoint import TrainingState
from fmbseg.alignment.reports import TrainingReports
from fmbseg.alignment.trainer import EpochRecord, Step
from fmbseg.progress import Progress


def shown(enabled: bool) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with Progress(enabled, console) as bars:
        bars.note("12 photographs [of 13]")
        assert list(bars.track("abc", "features", 3)) == ["a", "b", "c"]
        TrainingReports(bars, 2, images=10, batch=5).step(
            Step(epoch=2, batch=3, images=15, loss=1.23456, learning_rate=0.0125)
        )
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_bar_has_loss_rate_and_progress() -> None:
    text = shown(enabled=True)
    for part in (
        "12 photographs [of 13]",
        "features",
        "3/3",
        "epoch 2/2",
        "15/20",
        "loss 1.2346",
        "1.25e-02",
    ):
        assert part in text


def test_a_terminal_of_80_columns_shows_every_figure_whole() -> None:
    console = Console(file=io.StringIO(), width=80)
    with Progress(True, console) as bars:
        list(bars.track("abc", "patch labels", 3))
        reports = TrainingReports(bars, 20, images=1000, batch=50)
        for _ in range(3):  # the rate is known from the second on
            reports.step(Step(epoch=20, batch=3, images=6600, loss=23.11912, learning_rate=1.54e-6))
    assert isinstance(console.file, io.StringIO)
    *_, training = console.file.getvalue().rstrip().splitlines()
    for part in ("epoch 20/20", "19800/20000", " images/s", "0:00:0", "loss 23.1191  lr 1.54e-06"):
        assert part in training
    assert "…" not in console.file.getvalue()


def test_it_can_be_silent() -> None:
    assert shown(enabled=False) == ""


def test_a_training_that_goes_on_shows_what_was_done_before(tmp_path: Path) -> None:
    state = TrainingState(2, 1, 0.0, 0, 0.1, [asdict(EpochRecord(1, 2.5, 0.1, 90))], {}, {}, {}, {}, {})
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with (
        Progress(True, console) as bars,
        TrainingReports(bars, 3, images=10, batch=4, start=state, logs=tmp_path) as reports,
    ):
        reports.step(Step(2, 2, 4, 1.5, 0.05))
        reports.epoch(EpochRecord(2, 1.5, 0.05, 90, 1.25, 0.5, 0.25))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "18/30" in text  # 10 of the first epoch, 4 of the second, and 4 now
    assert "epoch 2: held out loss 1.2500, accuracy 0.500, mIoU 0.250" in text
    assert [record.epoch for record in reports.history] == [1, 2]
    assert len((tmp_path / "epochs.csv").read_text().splitlines()) == 2
