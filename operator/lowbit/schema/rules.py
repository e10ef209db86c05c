"""The rules that a schema cannot say: each one once, as CEL for the API server and as Python for ``lowbit plan``.

A rule hangs on a type and holds wherever that type occurs. Its message says what to write instead.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Final

from pydantic.alias_generators import to_camel

from lowbit.api.base import Wire
from lowbit.api.engine import EngineChanges, EnvironmentVariable, Resources
from lowbit.api.engines import ENGINES, Engine
from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, NonInferiorityThreshold, Suite, SuiteGate
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions, Toleration
from lowbit.api.recipes import RECIPES, Recipe, recipe_of
from lowbit.api.references import HuggingFaceDatasetLocation, Source
from lowbit.api.rule import NUMBER_CEL, Rule, between, exactly_one, listed
from lowbit.api.serving import Serving
from lowbit.api.showcase import ShowcasePrompt
from lowbit.api.suites import SUITES, AnySuite, gated
from lowbit.api.suites.dataset import EvaluationDataset, TaskFile
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import TASK_METRICS
from lowbit.api.variables import JOB_VARIABLES, SECRET_VARIABLES

LOCATIONS: Final = ("hugging_face", "pvc", "s3", "config_map")
"""Attributes of a dataset that are places; exactly one is set."""


def dataset_rules(what: str) -> tuple[Rule, ...]:
    """Rules of a dataset: one place, and a column only where a record has one."""
    rule = exactly_one(what, *map(to_camel, LOCATIONS))
    return (
        Rule(rule.cel, rule.message, lambda value: sum(getattr(value, x) is not None for x in LOCATIONS) == 1),
        Rule(
            "!has(self.column) || !has(self.format) || self.format != 'SFT'",
            "column names one field, and a record of format SFT has several (instruction, input and output): "
            "leave column out, or write another format",
            lambda value: value.column is None or value.format != "SFT",
            "column",
        ),
    )


def reachable(metric: Metric) -> Rule:
    """A rule against thresholds that every result passes, or none."""
    highest = "<=" if metric.better == "Higher" else "<"
    parts = [f"double(self.value) > {metric.least}"]
    parts += [f"double(self.value) {highest} {metric.greatest}"] if isfinite(metric.greatest) else []

    def holds(threshold: MaximumThreshold | MinimumThreshold) -> bool:
        value = Decimal(threshold.value)
        below = value < metric.greatest or (metric.better == "Higher" and value == metric.greatest)
        return threshold.metric != metric.name or (value > metric.least and below)

    return Rule(
        f"self.metric != '{metric.name}' || !self.value.matches({NUMBER_CEL}) || ({' && '.join(parts)})",
        metric.unreachable,
        holds,
        "value",
    )


def reachable_all(better: str) -> tuple[Rule, ...]:
    """reachable() for every metric whose values have an end."""
    return tuple(reachable(metric) for metric in gated() if metric.better == better and metric.unreachable)


ASKED_CEL: Final = (
    "["
    "has(self.gate.maximum) ? self.gate.maximum.map(t, t.metric) : [], "
    "has(self.gate.minimum) ? self.gate.minimum.map(t, t.metric) : [], "
    "has(self.gate.nonInferiority) ? self.gate.nonInferiority.map(t, t.metric) : []"
    "]"
)
"""Metrics that a suite's gate asks for, as lists."""


def measured_by(kind: AnySuite) -> Rule:
    """A rule that a gate asks only for metrics that its suite measures."""
    losses = {metric.loss for metric in kind.metrics}
    own = tuple(metric.name for metric in kind.metrics if (metric.bound or metric.loss) and metric.name not in losses)
    return Rule(
        f"!has(self.{kind.name}) || {ASKED_CEL}.all(names, names.all(name, name in {listed(own)}))",
        f"the gate asks for a metric that a {kind.name} suite does not measure: write one of {', '.join(own)}",
        lambda suite: getattr(suite, kind.name) is None or set(suite.gate.asked()) <= set(own),
        "gate",
    )


def measured_by_all() -> tuple[Rule, ...]:
    """measured_by() for each suite; none if every suite measures every metric, because the schema ensures it then."""
    every = {metric.name for metric in gated()} | {metric.name for metric in TASK_METRICS if metric.loss}
    return tuple(measured_by(kind) for kind in SUITES if not every <= {metric.name for metric in kind.metrics})


def measured_with(kind: AnySuite) -> tuple[Rule, ...]:
    """Rules that a gate asks for an optional metric only where the setting is there that measures it."""
    rules = []
    for field in dict.fromkeys(kind.optional.values()):
        names, path = tuple(name for name, of in kind.optional.items() if of == field), to_camel(field)

        def holds(suite: Suite, field: str = field, names: tuple[str, ...] = names) -> bool:
            settings = getattr(suite, kind.name)
            return settings is None or getattr(settings, field) is not None or not set(names) & set(suite.gate.asked())

        rules.append(
            Rule(
                f"!has(self.{kind.name}) || has(self.{kind.name}.{path}) || "
                f"{ASKED_CEL}.all(names, names.all(name, !(name in {listed(names)})))",
                f"the gate asks for {' or '.join(names)}, which is measured only with {kind.name}.{path}: "
                f"add {path}: {{}} to {kind.name}",
                holds,
                "gate",
            )
        )
    return tuple(rules)


def measured_with_all() -> tuple[Rule, ...]:
    """measured_with() for each suite."""
    return tuple(rule for kind in SUITES for rule in measured_with(kind))


def job_rules(platform: Platform) -> tuple[Rule, ...]:
    """The list of variables that a manifest may set for Jobs."""
    return _job_rules(tuple(platform.allowed_job_env))


@cache  # asked once for every object in a manifest
def _job_rules(more: tuple[str, ...]) -> tuple[Rule, ...]:
    names = (*SECRET_VARIABLES, *JOB_VARIABLES, *more)
    return (
        Rule(
            f"!has(self.env) || self.env.all(e, e.name in {listed(names, 'allowedJobEnv')})",
            "env holds a variable that is not on the list of those that only tune a Job (endpoints, proxies, "
            "credentials and paths are not): leave it out, use the field for it, or ask the platform to allow it",
            lambda options: {each.name for each in options.env} <= set(names),
            "env",
            lambda options: ", ".join(each.name for each in options.env if each.name not in names),
        ),
    )


CALIBRATED: Final = tuple(kind.name for kind in RECIPES if kind.calibrated)
"""Candidates that read calibration texts."""
SHARED: Final[dict[type[Wire], tuple[Rule, ...]]] = {
    Source: (exactly_one("a source", "huggingFace", "pvc", "s3"),),
    Engine: (exactly_one("an engine", *ENGINES.names()),),
    Recipe: (
        exactly_one("a candidate", *RECIPES.names()),
        Rule(
            f"!has(self.calibration) || {' || '.join(f'has(self.{name})' for name in CALIBRATED)}",
            f"a calibration is read by {' and '.join(CALIBRATED)} alone: remove it from this candidate",
            lambda recipe: recipe.calibration is None or not recipe.is_set or recipe_of(recipe)[0].calibrated,
            "calibration",
        ),
    ),
    ShowcasePrompt: (exactly_one("a prompt of the showcase", "messages", "text"),),
    EvaluationDataset: dataset_rules("an evaluation dataset"),
    TaskFile: (exactly_one("a task's file", "pvc", "s3", "configMap"),),
    MaximumThreshold: reachable_all("Lower"),
    MinimumThreshold: reachable_all("Higher"),
    NonInferiorityThreshold: (
        between("margin", "margin", "{x} > 0.0 && {x} < 1.0", lambda x: 0 < x < 1,
                'a margin lies between 0 and 1: write "0.02" for two points'),
    ),
    EngineChanges: (
        Rule(
            "(has(self.args) && size(self.args) > 0) || (has(self.env) && size(self.env) > 0)",
            "a candidate's engine changes nothing: write args or env, or leave engine out",
            lambda changes: bool(changes.args or changes.env),
        ),
    ),
    HuggingFaceDatasetLocation: (
        Rule(
            "!has(self.path) || (!has(self.config) && !has(self.split))",
            "path already says which files of the dataset are read: leave config and split out, or leave path out",
            lambda place: place.path is None or (place.config is None and place.split is None),
            "path",
        ),
    ),
    Suite: (exactly_one("a suite", *SUITES.names()), *measured_by_all(), *measured_with_all()),
    SuiteGate: (
        Rule(
            "(has(self.maximum) && size(self.maximum) > 0) || (has(self.minimum) && size(self.minimum) > 0) || "
            "(has(self.nonInferiority) && size(self.nonInferiority) > 0)",
            "a gate without a threshold decides nothing: write at least one below maximum, minimum or nonInferiority, "
            f'such as maximum: [{{metric: {gated()[0].name}, value: "0.05"}}]',
            lambda gate: bool(gate.maximum or gate.minimum or gate.non_inferiority),
        ),
        between("confidence", "confidence", "{x} >= 0.8 && {x} < 1.0", lambda x: Decimal("0.8") <= x < 1,
                'confidence is from 0.8 to below 1: write "0.95" for 95 percent'),
    ),
    EnvironmentVariable: (
        Rule(
            f"!(self.name in {listed(SECRET_VARIABLES)})",
            "a secret does not belong in env: write tokenSecretRef, credentialsSecretRef or apiKeySecretRef, "
            "which name a key of a Secret",
            lambda variable: variable.name not in SECRET_VARIABLES,
            "name",
        ),
    ),
    Resources: (
        Rule(
            "(!has(self.requests) || !('nvidia.com/gpu' in self.requests)) && "
            "(!has(self.limits) || !('nvidia.com/gpu' in self.limits))",
            "GPUs are asked for by Lowbit: write device: GPU and tensorParallelSize, and leave the GPU out here "
            "(a slice of one, such as nvidia.com/mig-1g.10gb, or another vendor's is asked for in its place)",
            lambda resources: "nvidia.com/gpu" not in (*resources.requests, *resources.limits),
        ),
    ),
    Toleration: (
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value)",
            "a toleration with operator Exists has no value: leave value out, or write operator: Equal",
            lambda toleration: toleration.operator != "Exists" or toleration.value is None,
        ),
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "a toleration without a key tolerates every taint, and needs operator: Exists: write that, or a key",
            lambda toleration: toleration.key is not None or toleration.operator == "Exists",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds goes only with effect: NoExecute",
            lambda toleration: toleration.toleration_seconds is None or toleration.effect == "NoExecute",
        ),
    ),
    Serving: (
        Rule(
            "!has(self.workloadPriorityClassName) || has(self.queueName)",
            "workloadPriorityClassName is of pods in a queue: write queueName too",
            lambda serving: serving.workload_priority_class_name is None or serving.queue_name is not None,
            "workloadPriorityClassName",
        ),
    ),
    JobOptions: (
        Rule(
            "!has(self.maxMemory) || "
            "(has(self.resources) && has(self.resources.limits) && 'memory' in self.resources.limits)",
            "maxMemory is reached by doubling the memory limit: write resources.limits.memory too",
            lambda options: options.max_memory is None or "memory" in options.resources.limits,
            "maxMemory",
        ),
    ),
}  # fmt: skip
"""Rules on the parts that a manifest is made of."""
