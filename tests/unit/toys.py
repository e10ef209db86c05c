"""Toys that nobody needs: what comes next is one declaration, and no other file of the operator knows of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic.fields import FieldInfo

from lowbit.api.base import Digest, Wire
from lowbit.api.engine import EnvironmentVariable
from lowbit.api.engines import ENGINES, Engine, ResolvedEngine
from lowbit.api.engines.base import EngineKind, EngineSettings, LogWords, Only, Request, ResolvedSettings
from lowbit.api.evaluation import MinimumThreshold, ResolvedSuite, Suite
from lowbit.api.platform import Platform
from lowbit.api.recipes import RECIPES, Recipe, ResolvedRecipe
from lowbit.api.recipes.base import Fitting, RecipeKind
from lowbit.api.suites import SUITES
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.metric import Metric
from lowbit.api.tagged import Registry, Tagged
from lowbit.schema.structural import subclasses


class Toy(Wire):
    """What a person writes of it."""

    level: int = 3


class ToyRecipe(RecipeKind[Toy, Toy]):
    """Needs no texts to calibrate on."""

    name = "toy"
    description = "Quantize with a toy."
    spec = Toy
    resolved = Toy
    calibrated = False

    def label(self, resolved: Toy) -> str:
        return f"toy-{resolved.level}"

    def draft_label(self, spec: Toy, fitting: Fitting | None) -> str:
        return self.label(spec)

    def resolve(self, spec: Toy, fitting: Fitting, found: Digest | None) -> Toy:
        return spec


class ToySettings(EngineSettings):
    """What a person writes of the engine."""

    speed: int = 1


class ResolvedToy(ResolvedSettings):
    """With nothing left open."""

    speed: int


class ToyEngine(EngineKind[ToySettings, ResolvedToy]):
    """Serves by magic."""

    name = "toy"
    description = "A toy."
    spec = ToySettings
    resolved = ResolvedToy
    formats = frozenset({"gptq"})
    capabilities = frozenset({"PromptLogprobs"})
    command = ("toy", "serve")
    log_words = LogWords(
        re.compile(r"(\w+) enchants (\w+)"), "all", (), re.compile("poof: .*"), (), (re.compile("^> "),)
    )

    def resolve(self, spec: ToySettings, platform: Platform, env: list[EnvironmentVariable]) -> ResolvedToy:
        return ResolvedToy(image=spec.image or "toy:1", device=spec.device, args=spec.args, env=env, speed=spec.speed)

    def ranks(self, spec: ToySettings) -> int:
        return 1

    def devices(self, resolved: ResolvedToy) -> int:
        return 1

    def arguments(self, served_name: str, resolved: ResolvedToy) -> Sequence[str]:
        return [served_name, f"--speed={resolved.speed}"]

    def first_request(self, served_name: str) -> Request:
        return Request("/play", "{}", "fun")

    def measuring(self, resolved: ResolvedToy) -> Only:
        return Only(("--measuring",))

    def serving(self, drain_seconds: int) -> Only:
        return Only(("--serving",))


class ToyQuestions(Wire):
    """What a person writes of the suite."""

    dataset: EvaluationDataset
    loudness: int = 2


class ResolvedToyQuestions(Wire):
    """With its dataset frozen."""

    dataset: Digest
    loudness: int


SMELL = Metric(
    name="Smell", title="Smell", meaning="how it smells", better="Higher", greatest=1.0, unit="nose",
    unreachable='Smell is a share, and none is above 1: write "0.9", say',
)  # fmt: skip


class ToySuite(SuiteKind[ToyQuestions, ResolvedToyQuestions]):
    """Asks how it smells."""

    name = "toy"
    description = "Smell at it."
    spec = ToyQuestions
    resolved = ResolvedToyQuestions
    version = 4
    metrics = (SMELL,)
    count_field = "loudness"

    def resolve(self, spec: ToyQuestions, datasets: Mapping[str, Digest]) -> ResolvedToyQuestions:
        return ResolvedToyQuestions(dataset=datasets["dataset"], loudness=spec.loudness)


class ToyRace(Wire):
    """What a person writes of the race; its resolved form is the same."""

    rounds: int = 2


LEAD = Metric(
    name="Lead", title="Lead", meaning="how far the candidate is ahead", better="Higher", greatest=1.0, unit="round",
    unreachable='Lead is a share, and none is above 1: write "0.9", say',
)  # fmt: skip


class ToyRaceSuite(SuiteKind[ToyRace, ToyRace]):
    """Lets both run, in turn."""

    name = "race"
    description = "Run."
    spec = ToyRace
    resolved = ToyRace
    version = 1
    metrics = (LEAD,)
    dataset_fields = ()
    count_field = "rounds"
    pairing = "Interleaved"

    def resolve(self, spec: ToyRace, datasets: Mapping[str, Digest]) -> ToyRace:
        return spec

    def starts(self, resolved: ToyRace) -> int:
        return resolved.rounds


class ToyQuiz(Wire):
    """What a person writes of the quiz; its resolved form is the same."""

    questions: int = 30


NEARNESS = Metric(
    name="Nearness", title="Nearness", meaning="how near both answer", better="Higher", unit="question",
    unreachable="nobody is as near", bound="StudentT",
)  # fmt: skip


class ToyQuizSuite(SuiteKind[ToyQuiz, ToyQuiz]):
    """Asks in three parts, and looks after each."""

    name = "quiz"
    description = "Ask."
    spec = ToyQuiz
    resolved = ToyQuiz
    version = 1
    metrics = (NEARNESS,)
    dataset_fields = ()
    count_field = "questions"
    looks = 3

    def resolve(self, spec: ToyQuiz, datasets: Mapping[str, Digest]) -> ToyQuiz:
        return spec


@contextmanager
def toy_quiz() -> Iterator[None]:
    """The operator knows the suite `quiz` and its metric while the block runs."""
    with any_minimum(), added(SUITES, ToyQuizSuite(), {Suite: ToyQuiz, ResolvedSuite: ToyQuiz}):
        yield


@contextmanager
def toy_race() -> Iterator[None]:
    """The operator knows the suite `race` and its metric while the block runs."""
    with any_minimum(), added(SUITES, ToyRaceSuite(), {Suite: ToyRace, ResolvedSuite: ToyRace}):
        yield


@contextmanager
def toy_suite() -> Iterator[None]:
    """The operator knows the suite `toy` and its metric while the block runs."""
    kind = ToySuite()
    with any_minimum(), added(SUITES, kind, {Suite: kind.spec, ResolvedSuite: kind.resolved}):
        yield


@contextmanager
def any_minimum() -> Iterator[None]:
    """A gate takes a minimum of any metric while the block runs."""
    before = MinimumThreshold.__pydantic_fields__["metric"]
    MinimumThreshold.__pydantic_fields__["metric"] = FieldInfo(annotation=str)
    rebuild({MinimumThreshold})
    try:
        yield
    finally:
        MinimumThreshold.__pydantic_fields__["metric"] = before
        rebuild({MinimumThreshold})


@contextmanager
def toy_engine() -> Iterator[None]:
    """The operator knows the engine `toy` while the block runs."""
    kind = ToyEngine()
    with added(ENGINES, kind, {Engine: kind.spec, ResolvedEngine: kind.resolved}):
        yield


@contextmanager
def toy_recipe() -> Iterator[None]:
    """The operator knows the recipe `toy` while the block runs."""
    kind = ToyRecipe()
    with added(RECIPES, kind, {Recipe: kind.spec, ResolvedRecipe: kind.resolved}):
        yield


@contextmanager
def added(registry: Registry[Any], kind: Any, members: Mapping[type[Tagged], type[Wire]]) -> Iterator[None]:
    """A line more in a registry, and a member more in the unions that are made from it."""
    registry._kinds[kind.name] = kind
    for union, member in members.items():
        union.__pydantic_fields__[kind.name] = FieldInfo(annotation=member | None, default=None)  # type: ignore[arg-type]
    rebuild(set(members))
    try:
        yield
    finally:
        del registry._kinds[kind.name]
        for union in members:
            del union.__pydantic_fields__[kind.name]
        rebuild(set(members))


def rebuild(changed: set[type[Wire]]) -> None:
    """pydantic has what is below a type inside of it: whatever leads to a changed one is made anew, from below."""
    due = set(changed)
    while more := {kind for kind in subclasses(Wire) if kind not in due and leads_to(kind, due)}:
        due |= more
    while due:
        lowest = [kind for kind in due if not leads_to(kind, due - {kind})]
        assert lowest, f"types that contain each other: {due}"
        for kind in lowest:
            kind.model_rebuild(force=True)
        due -= set(lowest)


def leads_to(kind: type[Wire], others: set[type[Wire]]) -> bool:
    return any(mentions(field.annotation, others) for field in kind.model_fields.values())


def mentions(annotation: Any, others: set[type[Wire]]) -> bool:
    if annotation in others:
        return True
    return any(mentions(argument, others) for argument in getattr(annotation, "__args__", ()))
