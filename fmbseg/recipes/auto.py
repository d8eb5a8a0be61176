"""The recipe ``auto``: the best open one within reach, chosen when needed and reported in one line."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from fmbseg.escaping import terminal
from fmbseg.models.loading.errors import AssetUnavailableError, WeightsError, first_line
from fmbseg.models.loading.hub_files import HubOptions
from fmbseg.models.loading.hub_reach import HubUnreachableError, why_refused
from fmbseg.recipes import AUTO, RECIPES, Recipe, get_recipe
from fmbseg.recipes.sources import HubSource, is_cached, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

T = TypeVar("T")

VARIABLE = "FMBSEG_RECIPE"
"""Environment variable that names the recipe if nothing else does."""

BEST_FIRST = ("tipsv2", "paper", "base")
"""Open recipes, the best first, by what the authors of their models report (ADE20K without training on it:
TIPSv2 L/14 24.7, the paper 16.3). ``grounded`` is left out: a detector finds things and little stuff, and no
figure compares it with these. ``sam3`` is gated."""

HOW_TO_CHOOSE = f"choose another by recipe=NAME, --recipe NAME or {VARIABLE}=NAME"


class Choice(NamedTuple):
    """A recipe and why it was chosen.

    Attributes:
        recipe: the recipe that was chosen.
        why: the reason in words.
    """

    recipe: Recipe
    why: str

    def __str__(self) -> str:
        return f"recipe {self.recipe.name} ({self.recipe.title}): {self.why}; {HOW_TO_CHOOSE}"


def named_by_environment() -> str | None:
    """The recipe that ``FMBSEG_RECIPE`` names; ``None`` if it names none, or ``auto``.

    Raises:
        UnknownNameError: it names a recipe that does not exist.
    """
    name = os.environ.get(VARIABLE) or AUTO
    return None if name == AUTO else get_recipe(name).name


def choose(
    hub: HubOptions | None, device: torch.device, *, failed: Mapping[str, str] | None = None
) -> Choice:
    """Choose the best open recipe that is within reach and fits the device; ``offline`` if there is none.

    A recipe is within reach if each of its files is in the Hub's cache or would be given by a
    Hub that answers within two seconds.

    Args:
        hub: how files are looked for.
        device: device that computes.
        failed: recipes that are ruled out, each with the reason.

    Raises:
        UnknownNameError: ``FMBSEG_RECIPE`` names a recipe that does not exist.
    """
    memory, reach = device_gigabytes(device), _Reach(hub or HubOptions())
    passed_over: list[str] = []
    for name in BEST_FIRST:
        recipe = get_recipe(name)
        against = (failed or {}).get(name) or _too_large(recipe, device, memory) or _lacks_package(recipe)
        missing = [] if against else reach.missing(recipe)
        against = against or reach.refusal(missing)
        if against is None:
            size = sum(one.gigabytes for one in missing)
            here = f"{size:.1f} GB of its files are fetched now" if missing else "its files are here"
            return Choice(recipe, "; ".join(["the best open one within reach", here, *passed_over]))
        passed_over.append(f"not {name}: {against}")
    return Choice(RECIPES["offline"], "; ".join(passed_over))


def _too_large(recipe: Recipe, device: torch.device, memory: float | None) -> str | None:
    needed = recipe.memory.cpu if device.type == "cpu" else recipe.memory.gpu
    if needed is None:
        return "it needs a GPU"
    if memory is not None and memory < needed:
        return f"it needs {needed:g} GB of memory, and {device} has {memory:.1f}"
    return None


def _lacks_package(recipe: Recipe) -> str | None:
    for one in sources_of(recipe):
        if isinstance(one, HubSource) and one.package and find_spec(one.package) is None:
            return f"it needs {one.package} (pip install 'fmbseg[{one.package}]')"
    return None


class _Reach:
    """Which of the recipes' files are here, and what the Hub says about the rest; each is asked for once."""

    def __init__(self, options: HubOptions) -> None:
        self._options = options
        self._down: str | None = None
        self._said: dict[str, str | None] = {}

    def missing(self, recipe: Recipe) -> list[HubSource]:
        found = [one for one in sources_of(recipe) if isinstance(one, HubSource)]
        return [one for one in found if not is_cached(one, self._options)]

    def refusal(self, sources: list[HubSource]) -> str | None:
        for one in sources:
            if self._down is None and one.repo not in self._said:
                try:
                    self._said[one.repo] = why_refused(one.repo, one.files[0], self._options)
                except HubUnreachableError as error:
                    self._down = str(error)
            if (said := self._down or self._said.get(one.repo)) is not None:
                return said if self._down is None else f"{one.repo} is not in the cache, and {said}"
        return None


class ByRecipe(Generic[T]):
    """What a recipe makes: at once if one is named; with ``auto``, when it is first asked for.

    Args:
        recipe: the recipe's name, or ``auto``.
        make: makes it from a recipe, or from ``None`` if no recipe is needed.
        hub: how files are looked for.
        device: device that computes.
        needed: whether anything but settings is taken from the recipe; if not, ``auto`` chooses none.
    """

    def __init__(
        self,
        recipe: str,
        make: Callable[[Recipe | None], T],
        hub: HubOptions | None,
        device: torch.device,
        *,
        needed: bool = True,
    ) -> None:
        self._make, self._hub, self._device = make, hub, device
        self._open = recipe == AUTO and needed  # a resumed run may still decide
        self.name: str | None = None
        self._made: T | None = None
        if recipe == AUTO and not needed:
            self.name = named_by_environment()
            self._made = make(None if self.name is None else get_recipe(self.name))
        elif recipe != AUTO:
            self.name = get_recipe(recipe).name
            self._made = make(get_recipe(recipe))

    def made(self, recorded: str | None = None, where: object = "") -> T:
        """What was made, or is made now.

        Args:
            recorded: recipe of the earlier work that is continued, which ``auto`` keeps.
            where: where that work lies.

        Raises:
            UnknownNameError: there is no such recipe.
        """
        if self._open and recorded is not None and recorded != self.name:
            choice = Choice(get_recipe(recorded), f"that of {where}")
            _say(choice)
            self._made, self.name = self._make(choice.recipe), recorded
        if self._made is None:
            self._made = self._by_choice()
        return self._made

    def _by_choice(self) -> T:
        named = named_by_environment()
        if named is not None:
            self.name = named
            return self._make(get_recipe(named))
        failed: dict[str, str] = {}
        while True:
            choice = choose(self._hub, self._device, failed=failed)
            _say(choice)
            self.name = choice.recipe.name
            if self.name not in BEST_FIRST:
                return self._make(choice.recipe)
            try:
                return self._make(choice.recipe)
            except _load_errors() as error:
                failed[self.name] = f"it did not load ({first_line(error)})"
                warnings.warn(f"recipe {self.name} does not load: {error}", stacklevel=4)


def decided(
    name: str, hub: HubOptions | None, device: torch.device, recorded: str | None, where: object
) -> str:
    """The recipe that a name stands for, where others are to make what it names: ``auto`` is decided here.

    Args:
        name: of the recipe, or ``auto``.
        hub: how files are looked for.
        device: device that computes.
        recorded: recipe of the earlier work that is continued, which ``auto`` keeps.
        where: where that work lies.

    Raises:
        UnknownNameError: there is no such recipe.
    """
    if name != AUTO:
        return get_recipe(name).name
    if recorded is None and (named := named_by_environment()) is not None:
        return named
    kept = None if recorded is None else Choice(get_recipe(recorded), f"that of {where}")
    choice = kept or choose(hub, device)
    _say(choice)
    return choice.recipe.name


def _say(choice: Choice) -> None:
    if sys.stderr is not None:  # it is None if a window system started Python
        print(terminal(str(choice)), file=sys.stderr)


def _load_errors() -> tuple[type[Exception], ...]:
    """Errors that say a model is unavailable or does not fit, not that it was asked for wrongly."""
    import torch

    return (AssetUnavailableError, WeightsError, ImportError, MemoryError, torch.cuda.OutOfMemoryError)


_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def device_gigabytes(device: torch.device) -> float | None:
    """All the memory of a device in gigabytes (1e9 bytes), used or not; ``None`` if unknown."""
    import torch

    if device.type in ("cuda", "xpu"):
        return float(getattr(torch, device.type).get_device_properties(device).total_memory) / 1e9
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory()) / 1e9
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no such call
        return None
    limit = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else ""
    return min(whole, int(limit)) / 1e9 if limit.isdigit() else whole / 1e9
