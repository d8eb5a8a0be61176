import io

from rich.console import Console

from fmbseg.alignment.progress import training_bar
from fmbseg.alignment.trainer import Step
from fmbseg.progress import Progress


def shown(enabled: bool) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with Progress(enabled, console) as bars:
        bars.note("12 photographs [of 13]")
        assert list(bars.track("abc", "features", 3)) == ["a", "b", "c"]
        bar = training_bar(bars, epochs=2, images=10)
        bar(Step(epoch=2, batch=3, images=15, loss=1.23456, learning_rate=0.0125))
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


def test_it_can_be_silent() -> None:
    assert shown(enabled=False) == ""
