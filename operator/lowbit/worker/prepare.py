"""prepare: stores source, datasets and foreign artifacts, reads the model's facts, runs all checks that need no GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lowbit.api.documents import PrepareDocument, PrepareResult
from lowbit.api.facts import Coverage, ModelFacts
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.paths import TERMINATION_LIMIT
from lowbit.api.problem import Problem, Refused
from lowbit.api.recipes import recipe_of
from lowbit.api.recipes.artifact import ArtifactRecipe, ResolvedArtifact
from lowbit.api.status import ArtifactRecord, EvaluationSummary
from lowbit.api.termination import TerminationMessage
from lowbit.architecture.support import check_support
from lowbit.gate.counts import check_counts
from lowbit.naming.names import evaluation_name
from lowbit.naming.store_keys import facts_index_key, folder_key
from lowbit.resolve.checks import check_lengths, check_model, check_quantized, fitting_of
from lowbit.resolve.freeze import baseline_spec, candidate_spec, freeze, turn_specs
from lowbit.resolve.memory import check_host_memory, check_memory
from lowbit.worker.data.datasets import Mounts, no_chat_template
from lowbit.worker.data.prepared import prepare_datasets
from lowbit.worker.evaluate.attempts import Try, count
from lowbit.worker.evaluate.stored import Asked, find_result
from lowbit.worker.model.check_artifact import check_artifact
from lowbit.worker.model.file_list import FileList
from lowbit.worker.model.inspect_model import draft_facts, inspect
from lowbit.worker.model.json_file import read_json
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import from_problems
from lowbit.worker.sources import import_model, open_origin
from lowbit.worker.store import Kind, Store
from lowbit.worker.store.indexes import read_artifact_index, read_facts_index, write_index

SOURCE_SHARE = 0.7
"""Shares of the stage's time, by experience: the source is much larger than all else."""
ARTIFACT_SHARE = 0.95


def prepare(
    document: PrepareDocument,
    store: Store,
    progress: Progress,
    *,
    mounts: Mounts | None = None,
    clock: Callable[[], float] = time.time,
) -> PrepareResult:
    """Everything that a revision is frozen from. Raises RefusalError with the problems of model, data or manifest."""
    mounts = mounts or Mounts()
    store.remove_stale(clock())
    datasets = prepare_datasets(document.spec, store, mounts, progress.step)
    source = open_origin(document.spec.source, volumes=mounts.volumes, secrets=mounts.secrets)
    checks = keep_facts(store, source.name), look_first(document, source.name)
    file_list = import_model(store, "sources", source, progress.part(0.0, SOURCE_SHARE), *checks)
    facts = read_facts(store, "sources", file_list, source.name)
    refuse_problems(document, facts)
    if datasets.chats and not facts.chat_template:
        raise no_chat_template(datasets.chats[0])
    artifacts = prepare_artifacts(document, store, mounts, facts, progress.part(SOURCE_SHARE, ARTIFACT_SHARE))
    result = PrepareResult(
        source=file_list.digest,
        facts=facts,
        datasets=datasets.digests,
        removed=datasets.removed,
        broken=datasets.broken,
        artifacts={index: artifact.files.digest for index, artifact in artifacts.items()},
        artifact_bytes={index: artifact.files.size for index, artifact in artifacts.items()},
        artifact_coverage={index: each.coverage for index, each in artifacts.items() if each.coverage is not None},
    )
    progress.report(1.0, "done", force=True)
    return look_up(document, store, result)


LEFT_BEHIND_LIMIT = 20
"""Names of files that were left behind, in the report."""


class Artifact(NamedTuple):
    """An artifact that was made elsewhere, in the store."""

    files: FileList
    coverage: Coverage | None


def prepare_artifacts(
    document: PrepareDocument, store: Store, mounts: Mounts, facts: ModelFacts, progress: Progress
) -> dict[str, Artifact]:
    """Store and check every artifact candidate. Returns them by the candidate's index as text."""
    found: dict[str, Artifact] = {}
    for index, candidate in enumerate(document.spec.candidates):
        _, recipe = recipe_of(candidate)
        if not isinstance(recipe, ArtifactRecipe):
            continue
        name, file_list = _artifact(recipe, store, mounts, progress)
        what = f"the artifact of candidate {index} ({name})"
        own = read_facts(store, "artifacts", file_list, what)
        config = store.local(f"{folder_key('artifacts', file_list.digest)}/config.json")
        settings = read_json(config, what) if config is not None else {}
        check_artifact(settings, own, fitting_of(document.spec, facts), what)
        found[str(index)] = Artifact(file_list, own.coverage)
    return found


def keep_facts(store: Store, what: str) -> Callable[[Path, FileList, list[str]], None]:
    """A check that inspects a model before the store has it, and writes its facts to the index."""

    def check(folder: Path, file_list: FileList, left_behind: list[str]) -> None:
        facts = inspect(folder, what).model_copy(update={"left_behind": left_behind[:LEFT_BEHIND_LIMIT]})
        write_index(store, facts_index_key(file_list.digest), file_list.digest, {"facts": facts.wire()})

    return check


def look_first(document: PrepareDocument, what: str) -> Callable[[Path, int], None]:
    """A check of what config.json alone tells: a model that cannot work is refused before its weights are copied."""

    def look(folder: Path, weight_bytes: int) -> None:
        facts = draft_facts(folder, weight_bytes, what)
        if check_quantized(facts) or without_layers(document, facts):
            refuse_problems(document, facts)

    return look


def read_facts(store: Store, kind: Kind, file_list: FileList, what: str) -> ModelFacts:
    """The facts of a model in the store. A model in a bucket is downloaded only if the index lacks its facts."""
    try:
        return ModelFacts.model_validate(read_facts_index(store, file_list.digest).get("facts"))
    except ValidationError:
        pass  # there are none, or an older Lowbit wrote fewer
    return inspect(store.folder(kind, file_list.digest), what)


def without_layers(document: PrepareDocument, facts: ModelFacts) -> list[Problem]:
    """Problems that need no sizes of layers, which only the tensors tell for sure."""
    return [
        *check_counts(document.spec),
        *check_support(document.spec, facts),
        *check_lengths(document.spec, facts),
        *check_memory(document.spec, facts, document.platform),
        *check_host_memory(document.spec, facts),
    ]


def refuse_problems(document: PrepareDocument, facts: ModelFacts) -> None:
    """Raise RefusalError with every problem between the manifest and the model."""
    problems = check_quantized(facts) or [*check_model(document.spec, facts), *without_layers(document, facts)]
    if problems:
        raise from_problems(document.name, list(dict.fromkeys(problems)))


def look_up(document: PrepareDocument, store: Store, result: PrepareResult) -> PrepareResult:
    """Add artifacts and evaluations of the revisions that the store holds, as far as a termination message has room."""
    try:
        revisions = freeze(document.name, document.spec, document.platform, result)
    except Refused as refused:
        raise from_problems(document.name, refused.problems) from refused
    found: dict[str, ArtifactRecord] = {}
    for revision in revisions:
        record = find_artifact(store, revision, result)
        if record is not None:
            found[revision.artifact_hash] = record
    result = result.model_copy(update={"found": found})
    return add_evaluations(result, find_evaluations(store, revisions, found))


def find_artifact(store: Store, revision: ModelRevisionSpec, result: PrepareResult) -> ArtifactRecord | None:
    """The artifact of a revision, if the store holds it whole."""
    _, recipe = recipe_of(revision.recipe)
    if isinstance(recipe, ResolvedArtifact):
        file_list = store.require("artifacts", recipe.digest)
        return file_list.as_artifact(result.facts.weight_bytes, result.artifact_coverage.get(str(revision.candidate)))
    try:
        record = ArtifactRecord.model_validate(read_artifact_index(store, revision.artifact_hash).get("artifact"))
    except ValidationError:
        return None
    return record if store.file_list("artifacts", record.digest) is not None else None


def find_evaluations(
    store: Store, revisions: list[ModelRevisionSpec], found: dict[str, ArtifactRecord]
) -> dict[str, EvaluationSummary]:
    """Finished evaluations of the baselines and of the artifacts that were found, by name, baselines first."""
    made = [(each, found[each.artifact_hash].digest) for each in revisions if each.artifact_hash in found]
    specs = [baseline_spec(revision) for revision in revisions]
    specs += [candidate_spec(revision, artifact) for revision, artifact in made]
    summaries = read_summaries(store, specs)
    summaries |= count_attempts(store, made, set(summaries))
    for revision, artifact in made:
        # Whose own evaluation is done needs none of its starts any more.
        if evaluation_name(candidate_spec(revision, artifact)) not in summaries:
            summaries |= read_summaries(store, turn_specs(revision, artifact))
    return summaries


def count_attempts(
    store: Store, made: list[tuple[ModelRevisionSpec, str]], known: set[str]
) -> dict[str, EvaluationSummary]:
    """Those of candidates, each with the attempt that this manifest is: what is not measured again is judged again."""
    found = {}
    for revision, artifact in made:
        spec = candidate_spec(revision, artifact)
        result = find_result(store, Asked.by_spec(spec)) if evaluation_name(spec) in known else None
        if result is not None:
            tried = Try(revision.source.digest, revision.input_hash, revision.quantized_model, result.evaluation)
            attempt = count(store, tried, result.sketches)
            found[result.evaluation] = result.summary.model_copy(update={"attempt": attempt})
    return found


def read_summaries(store: Store, specs: list[ModelEvaluationSpec]) -> dict[str, EvaluationSummary]:
    """Those of finished evaluations, by name. A result that is of something else is none: its Job says so."""
    asked = {each.evaluation: each for each in map(Asked.by_spec, specs)}
    found = {name: find_result(store, each) for name, each in asked.items()}
    return {name: result.summary for name, result in found.items() if result is not None}


def add_evaluations(result: PrepareResult, summaries: dict[str, EvaluationSummary]) -> PrepareResult:
    """Add as many as fit. One that is left out costs an evaluate Job, which finds its result in the store."""
    for name, summary in summaries.items():
        more = result.model_copy(update={"found_evaluations": result.found_evaluations | {name: summary}})
        if message_bytes(more) <= TERMINATION_LIMIT:
            result = more
    return result


def message_bytes(result: PrepareResult) -> int:
    """Size of the termination message."""
    message = TerminationMessage.of(result)
    return len(message.model_dump_json(by_alias=True, exclude_none=True).encode())


def _artifact(recipe: ArtifactRecipe, store: Store, mounts: Mounts, progress: Progress) -> tuple[str, FileList]:
    if recipe.digest is not None:
        return recipe.digest, store.require("artifacts", recipe.digest)
    origin = open_origin(recipe, volumes=mounts.volumes, secrets=mounts.secrets)
    return origin.name, import_model(store, "artifacts", origin, progress, keep_facts(store, origin.name))
