"""Stage 1 by a teacher: a concept model is asked for each word, and the words compete for the pixels."""

from __future__ import annotations

from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fmbseg.labeling.competition import Competition, CompetitionSettings
from fmbseg.labeling.forecast import Forecast
from fmbseg.labeling.pipeline import Photograph
from fmbseg.labels.record import CONCEPT_STAGE, LabeledImage
from fmbseg.vocabulary import meaning_of_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fmbseg.labeling.classes import Classes
    from fmbseg.labeling.competition import WonMasks
    from fmbseg.labeling.description import Crops, Description
    from fmbseg.labeling.pipeline import Steps
    from fmbseg.labeling.prefilter import Prefilter
    from fmbseg.labeling.settings import LabelingSettings
    from fmbseg.models.contracts import Concept, ConceptModel
    from fmbseg.vocabulary import Vocabulary


class Teacher:
    """Labels photographs by a concept model.

    Args:
        model: the one that is asked.
        options: of the model, to be recorded.
        settings: of the competition for pixels.
        prefilter: chooses the words that are asked; all where ``None``.
    """

    def __init__(
        self,
        model: ConceptModel,
        options: Mapping[str, Any],
        settings: CompetitionSettings,
        prefilter: Prefilter | None = None,
    ) -> None:
        self.model = model
        self._prefilter = prefilter
        self.options = dict(options)
        self._settings = settings

    @property
    def origin(self) -> dict[str, Any]:
        """The model, its licence and the settings that labels are made with, as JSON values."""
        models: dict[str, Any] = {
            "teacher": self.model.spec,
            "teacher_options": self.options,
            "license": self.model.license,
        }
        if self._prefilter is not None:
            models["prefilter"] = self._prefilter.origin
        return {"models": models, "settings": asdict(self.settings)}

    @property
    def settings(self) -> CompetitionSettings:
        """Of the competition for pixels."""
        return self._settings

    @property
    def left_out(self) -> str | None:
        """Nothing."""
        return None

    def label_image(self, image: NDArray[np.uint8], vocabulary: Vocabulary, key: str) -> LabeledImage:
        """Label one image (H, W, 3)."""
        steps: Steps[Any, Any] = self.steps(vocabulary, 1)
        (described,) = steps.describe([steps.prepare(image)])
        return steps.label(Photograph(key, "", image), described, None)

    def steps(self, vocabulary: Vocabulary, photographs: int) -> TeacherSteps | PrefilteredSteps:
        """Choose the words to ask, and watch how long they take."""
        words = words_to_ask(vocabulary)
        if self._prefilter is None:
            return TeacherSteps(self.model, self.settings, words, Forecast(len(words), photographs))
        forecast = Forecast(min(len(words), self._prefilter.keep), photographs)
        asking = TeacherSteps(self.model, self.settings, words, forecast)
        return PrefilteredSteps(asking, self._prefilter, self._prefilter.classes(vocabulary))


class TeacherSteps:
    """The steps of :class:`Teacher` for one vocabulary; see :class:`~fmbseg.labeling.pipeline.Steps`.

    Args:
        model: the one that is asked.
        settings: of the competition.
        words: each with the class that it competes for.
        forecast: hears how long the words take.
    """

    def __init__(
        self,
        model: ConceptModel,
        settings: CompetitionSettings,
        words: Sequence[tuple[int, str]],
        forecast: Forecast,
    ) -> None:
        self._model, self._settings, self._words, self._forecast = model, settings, words, forecast

    def prepare(self, image: NDArray[np.uint8]) -> bool:
        """Do nothing: the model takes the image as it is."""
        del image
        return True

    def describe(self, prepared: Iterable[bool | None]) -> Iterator[bool | None]:
        """Do nothing: the model names and cuts in one step."""
        yield from prepared

    def label(self, photograph: Photograph, described: bool, present: tuple[int, ...] | None) -> LabeledImage:
        """Ask for every word, or for those of the known classes, and let them compete."""
        del described
        return self.ask(photograph, present, known=present is not None)

    def ask(self, photograph: Photograph, among: tuple[int, ...] | None, *, known: bool) -> LabeledImage:
        """Ask for the words of some classes, and let them compete.

        Args:
            photograph: to label.
            among: indices of the classes, ascending; ``None`` for all.
            known: whether it is known to show these classes, whatever the model says.
        """
        image = photograph.image
        competition = Competition((image.shape[0], image.shape[1]), self._settings)
        asked = [one for one in self._words if among is None or one[0] in among]
        if asked:
            found = self._find(image, [word for _, word in asked])
            for (class_id, _), concept in zip(asked, found, strict=True):
                competition.add(class_id, concept._replace(presence=1.0) if known else concept)
        won = competition.won()
        return _record(won, photograph, won.present if among is None or not known else among)

    def _find(self, image: NDArray[np.uint8], words: Sequence[str]) -> Iterator[Concept]:
        """What the model finds of each word: exactly one answer for each."""
        prompter = self._model.begin(image)
        count, started = 0, perf_counter()
        for concept in prompter.find(words):
            count += 1
            self._forecast.answered(count, perf_counter() - started)
            if count > len(words):
                break
            yield concept
        if count != len(words):
            many = f"more than {len(words)}" if count > len(words) else str(count)
            raise ValueError(f"the teacher {self._model.spec} gave {many} answers to {len(words)} words")


class PrefilteredSteps:
    """The same where an image-text model chooses the words of each photograph.

    Args:
        asking: asks for the words.
        prefilter: chooses them.
        classes: those to choose from.
    """

    def __init__(self, asking: TeacherSteps, prefilter: Prefilter, classes: Classes) -> None:
        self._asking, self._prefilter, self._classes = asking, prefilter, classes

    def prepare(self, image: NDArray[np.uint8]) -> Crops:
        """Cut the crops."""
        return self._prefilter.cut(image)

    def describe(self, prepared: Iterable[Crops | None]) -> Iterator[Description | None]:
        """Encode the crops, those of several photographs in a batch."""
        return self._prefilter.describe(prepared)

    def label(
        self, photograph: Photograph, described: Description, present: tuple[int, ...] | None
    ) -> LabeledImage:
        """Ask for the words of the likeliest classes; for those of the known ones where there are such."""
        if present is not None:
            return self._asking.ask(photograph, present, known=True)
        likeliest = self._prefilter.likeliest(described, self._classes)
        return self._asking.ask(photograph, likeliest, known=False)


def words_to_ask(vocabulary: Vocabulary) -> list[tuple[int, str]]:
    """Each class's words, as (class, word), in the vocabulary's order and without templates.

    A word that means "none of the others", such as ``background``, is nothing that can be found: it is left
    out, and pixels that no word wins stay without a label.

    Example:
        >>> from fmbseg.vocabulary import Vocabulary
        >>> words_to_ask(Vocabulary.of({"background": "none", "cat": "cat", "kitten": "cat"}))
        [(1, 'cat'), (1, 'kitten')]
    """
    return [
        (class_id, word)
        for class_id, words in enumerate(vocabulary.prompts)
        for word in words
        if meaning_of_name(word) != "background"
    ]


def refuse_beside_a_teacher(given: Mapping[str, object]) -> None:
    """Refuse arguments that only an image-text model and a mask generator take.

    Args:
        given: arguments by name; ``None`` where one was left out.

    Raises:
        ValueError: one was given.
    """
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise ValueError(
            f"a teacher names and cuts in one step: leave out {', '.join(names)}, or leave out the teacher"
        )


def refuse_without_a_teacher(
    settings: LabelingSettings | CompetitionSettings | None, options: object, prefilter: object
) -> LabelingSettings | None:
    """Refuse arguments that only a teacher takes.

    Args:
        settings: of Stage 1.
        options: of a teacher.
        prefilter: of its words.

    Returns:
        The settings.

    Raises:
        ValueError: one was given.
    """
    if options or prefilter is not None:
        raise ValueError("teacher_options and prefilter are for a teacher: name one by teacher=SPEC")
    if isinstance(settings, CompetitionSettings):
        raise ValueError("CompetitionSettings are for a teacher: name one, or give LabelingSettings")
    return settings


def _record(won: WonMasks, photograph: Photograph, detected: tuple[int, ...]) -> LabeledImage:
    count = len(won.masks)
    return LabeledImage(
        path=photograph.path,
        sha256=photograph.sha256,
        detected=detected,
        masks=won.masks,
        class_ids=won.class_ids,
        stages=np.full(count, CONCEPT_STAGE, np.int8),
        similarities=won.masks.predicted_iou.copy(),
        kept=np.ones(count, np.bool_),
        points=tuple(np.zeros((0, 2), np.float32) for _ in range(count)),
    )
