"""The rules that look at a whole spec, or at the object's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from pydantic.alias_generators import to_camel

from lowbit.api.base import Wire
from lowbit.api.calibration import Calibration, CalibrationDataset
from lowbit.api.engine import EngineChanges
from lowbit.api.engines import ENGINES, engine_of
from lowbit.api.evaluation import datasets_of, suite_of
from lowbit.api.modelevaluation import ModelEvaluation, ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevision, ModelRevisionSpec
from lowbit.api.modelstore import ModelStore, ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.pods import PodOptions
from lowbit.api.quantizedmodel import QuantizedModel, QuantizedModelSpec
from lowbit.api.recipes import RECIPES, recipe_of
from lowbit.api.references import ConfigMapLocation, HuggingFaceDatasetLocation, PVCLocation, S3Location
from lowbit.api.rule import Rule, equal, exactly_one, or_default
from lowbit.api.suites import SUITES, AnySuite
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.naming.names import MAX_MODEL_NAME
from lowbit.schema.rules import CALIBRATED, LOCATIONS, SHARED, dataset_rules, job_rules


@dataclass(frozen=True)
class ObjectRule:
    """A rule on an object with its name; `holds` takes the name and the parsed object."""

    cel: str
    message: str
    holds: Callable[[str, Any], bool]
    field: str


def immutable(what: str, instead: str) -> Rule:
    """A rule that nothing may change after creation."""
    return Rule("self == oldSelf", f"{what} cannot be changed: {instead}", None)


def calibration_needed(spec: QuantizedModelSpec) -> bool:
    candidates = (each for each in spec.candidates if each.is_set and each.calibration is None)
    return spec.calibration is not None or not any(recipe_of(each)[0].calibrated for each in candidates)


def held_out(spec: QuantizedModelSpec) -> bool:
    """Whether no evaluation dataset is a calibration dataset as well."""
    calibrated = [dataset for each in spec.calibrations().values() for dataset in each.datasets]
    suites = [suite for suite in spec.evaluation.suites if suite.is_set]
    files = [file for suite in suites for file in datasets_of(suite).values()]
    # Rows of tasks are compared by prepare, text by text: CEL would be too dear for a list in a list in a list.
    places = [_place(file) for file in files if isinstance(file, EvaluationDataset)]
    return not any(_place(dataset) in places for dataset in calibrated)


def _place(dataset: EvaluationDataset | CalibrationDataset) -> tuple[Wire | None, ...]:
    return tuple(getattr(dataset, name) for name in LOCATIONS)


def _limit(spec: QuantizedModelSpec) -> int | None:
    """The engine's maxModelLen, if it is set."""
    return engine_of(spec.engine)[1].max_model_len if spec.engine.is_set else None


def texts_fit(spec: QuantizedModelSpec) -> bool:
    limit = _limit(spec)
    suites = [suite_of(suite) for suite in spec.evaluation.suites if suite.is_set]
    lengths = [getattr(settings, kind.length_field) for kind, settings in suites if kind.length_field]
    return limit is None or all(length < limit for length in lengths)


def speed_fits(spec: QuantizedModelSpec) -> bool:
    limit = _limit(spec)
    speed = spec.evaluation.speed
    return limit is None or speed.prompt_tokens + speed.output_tokens <= limit


def candidates_differ(spec: QuantizedModelSpec) -> bool:
    return all(one != other for one, other in combinations(spec.candidates, 2))


def _same_candidate() -> str:
    """CEL: the candidates c and d are equal, whether their defaults are written or not."""
    parts = ["has(c.engine) == has(d.engine) && (!has(c.engine) || c.engine == d.engine)"]
    same = equal(Calibration, "c.calibration", "d.calibration")
    parts.append(f"has(c.calibration) == has(d.calibration) && (!has(c.calibration) || ({same}))")
    for kind in RECIPES:
        both = f"has(c.{kind.name}) == has(d.{kind.name})"
        same = equal(kind.spec, f"c.{kind.name}", f"d.{kind.name}")
        parts.append(f"{both} && (!has(c.{kind.name}) || ({same}))")
    return " && ".join(parts)


def _same_place(kind: AnySuite, field: str) -> str:
    """CEL: the calibration dataset d is this dataset of the suite s."""
    place = f"s.{kind.name}.{to_camel(field)}"
    kinds: tuple[type[Wire], ...] = (HuggingFaceDatasetLocation, PVCLocation, S3Location, ConfigMapLocation)
    members = zip(map(to_camel, LOCATIONS), kinds, strict=True)
    same = " && ".join(
        f"has(d.{name}) == has({place}.{name}) && "
        f"(!has(d.{name}) || ({equal(location, f'd.{name}', f'{place}.{name}', one_type=False)}))"
        for name, location in members
    )
    required = kind.spec.model_fields[field].is_required()
    there = f"has(s.{kind.name})" if required else f"has(s.{kind.name}) && has({place})"
    return f"{there} && {same}"


_SAME_PLACE: Final = " || ".join(_same_place(kind, field) for kind in SUITES for field in kind.dataset_fields)
_LENGTHS: Final = " or ".join(f"{kind.name}.{to_camel(kind.length_field)}" for kind in SUITES if kind.length_field)
_ROOM: Final = " && ".join(
    f"(!has(s.{kind.name}) || {or_default(f's.{kind.name}', kind.spec, kind.length_field)} < {{0}})"
    for kind in SUITES
    if kind.length_field
)
_ENGINES: Final = tuple(kind.name for kind in ENGINES)


def _limited(rule: str) -> str:
    """A rule on the engine's `maxModelLen`, whichever engine it is; it holds where none is set."""
    members = [(f"self.engine.{name}", f"self.engine.{name}.maxModelLen") for name in _ENGINES]
    parts = [f"!has({engine}) || !has({length}) || {rule.format(length)}" for engine, length in members]
    return parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)


WHOLE: Final[dict[type[Wire], tuple[Rule, ...]]] = {
    CalibrationDataset: dataset_rules("a calibration dataset"),
    Calibration: (
        Rule(
            "self.datasets.exists(d, !has(d.weight) || d.weight > 0)",
            "the weights of the datasets sum to zero: give at least one of them a weight above 0",
            lambda calibration: any(dataset.weight > 0 for dataset in calibration.datasets),
            "datasets",
        ),
    ),
    QuantizedModelSpec: (
        Rule(
            "has(self.calibration) || "
            "!self.candidates.exists(c, !has(c.calibration) && "
            f"({' || '.join(f'has(c.{each})' for each in CALIBRATED)}))",
            f"{' and '.join(CALIBRATED)} need texts to calibrate on: write calibration: {{datasets: [...]}}",
            calibration_needed,
        ),
        Rule(
            f"self.candidates.all(c, self.candidates.exists_one(d, {_same_candidate()}))",
            "two candidates are identical: the second could only fail like the first; remove it, or change it",
            candidates_differ,
            "candidates",
        ),
        Rule(
            f"(!has(self.calibration) || "
            f"!self.evaluation.suites.exists(s, self.calibration.datasets.exists(d, {_SAME_PLACE}))) && "
            "!self.candidates.exists(c, has(c.calibration) && "
            f"self.evaluation.suites.exists(s, c.calibration.datasets.exists(d, {_SAME_PLACE})))",
            "a suite reads the very texts that the quantizer is calibrated on, and would flatter it: "
            "give evaluation a dataset of its own, of texts that are held out",
            held_out,
            "evaluation",
        ),
        Rule(
            _limited(f"self.evaluation.suites.all(s, {_ROOM})"),
            f"a suite's {_LENGTHS} leaves no room for an answer: write less than the engine's maxModelLen",
            texts_fit,
            "evaluation",
        ),
        Rule(
            _limited("self.evaluation.speed.promptTokens + self.evaluation.speed.outputTokens <= {}"),
            "evaluation.speed asks for more tokens than the engine takes: promptTokens and outputTokens together "
            "must be at most the engine's maxModelLen",
            speed_fits,
            "evaluation",
        ),
        Rule(
            "self.storeRef == oldSelf.storeRef",
            "storeRef cannot be changed, because the model's files lie there: make another QuantizedModel instead",
            None,
            "storeRef",
        ),
    ),
    ModelStoreSpec: (
        exactly_one("a ModelStore", "pvc", "s3"),
        immutable("a ModelStore's spec", "models lie there; make another ModelStore, and name it in storeRef"),
    ),
    ModelRevisionSpec: (immutable("a ModelRevision's spec", "change the QuantizedModel, and a new one is made"),),
    ModelEvaluationSpec: (immutable("a ModelEvaluation's spec", "change the QuantizedModel, and a new one is made"),),
}
"""Rules that look at several parts together."""

RULES: Final[dict[type[Wire], tuple[Rule, ...]]] = SHARED | WHOLE
"""Every rule, by the type that it hangs on; a subclass has those of its bases too."""

MODEL_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

OBJECT_RULES: Final[dict[type[Wire], tuple[ObjectRule, ...]]] = {
    QuantizedModel: (
        ObjectRule(
            f"size(self.metadata.name) <= {MAX_MODEL_NAME}",
            f"metadata.name is too long for the names of what is made from it: write at most {MAX_MODEL_NAME} letters",
            lambda name, _: len(name) <= MAX_MODEL_NAME,
            "metadata.name",
        ),
        ObjectRule(
            f"self.metadata.name.matches('{MODEL_NAME}')",
            "metadata.name becomes the Service's name: write lower-case letters, digits and - only, "
            "and begin with a letter",
            lambda name, _: re.fullmatch(MODEL_NAME, name) is not None,
            "metadata.name",
        ),
        ObjectRule(
            "!has(self.spec.serving) || !has(self.spec.serving.revision) || "
            "self.spec.serving.revision.startsWith(self.metadata.name + '-')",
            "serving.revision names a ModelRevision of another model: write one of this QuantizedModel's "
            "(kubectl get mrev), which begin with its name",
            lambda name, body: (
                body.spec.serving is None
                or body.spec.serving.revision is None
                or body.spec.serving.revision.startswith(f"{name}-")
            ),
            "spec.serving.revision",
        ),
    ),
    ModelStore: (
        ObjectRule(
            "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
            "metadata.name is what storeRef says: write at most 63 letters, digits and -",
            lambda name, _: len(name) <= 63 and "." not in name,
            "metadata.name",
        ),
    ),
    ModelRevision: (),
    ModelEvaluation: (),
}
"""Rules at the root, which see the object's name."""


def rules_of(kind: type[Wire], platform: Platform | None = None) -> list[Rule]:
    """The rules of a type and of its bases. platform: what it allows beside Lowbit's lists; nothing by default."""
    platform = platform or Platform()
    engines = {each: (*each.rules, *each.platform_rules(platform)) for each in ENGINES}
    changes = tuple(
        rule for each in ENGINES for rule in (*engines[each], *each.change_rules) if rule.field in ("args", "env")
    )
    declared: dict[type[Wire], tuple[Rule, ...]] = {EngineChanges: changes, PodOptions: job_rules(platform)}
    declared |= {each.spec: engines[each] for each in ENGINES}
    declared |= {each.spec: each.rules for each in (*RECIPES, *SUITES)}
    return [rule for base in reversed(kind.__mro__) for rule in (*RULES.get(base, ()), *declared.get(base, ()))]
