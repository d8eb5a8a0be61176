"""What is shown while a head is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fmbseg.alignment.trainer import Step
    from fmbseg.progress import Progress


def training_bar(bars: Progress, epochs: int, images: int) -> Callable[[Step], None]:
    """Add the bar of a training of ``epochs`` passes over ``images`` photographs; call it with each step."""
    bar = bars.bar("training", epochs * images)

    def show(step: Step) -> None:
        bar.advance(
            step.images,
            description=f"epoch {step.epoch}/{epochs}",
            detail=f"loss {step.loss:.4f}  learning rate {step.learning_rate:.2e}",
        )

    return show
