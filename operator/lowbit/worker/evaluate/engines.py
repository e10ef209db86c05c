"""The engines of the two sides: the same one in one version, or two that the manifest asks for."""

from __future__ import annotations

from lowbit.api.documents import EvaluateDocument
from lowbit.api.engines import field_path, resolved_engine
from lowbit.naming.canonical import digest
from lowbit.worker.engines.base import UNKNOWN_VERSION
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import Section


def check_version(document: EvaluateDocument, baseline: StoredResult, version: str) -> None:
    """Refuse another engine version than the baseline's: the image's tag may have moved since.

    Two images may be of two versions: then the manifest asks for an engine of the original's own.
    """
    image = resolved_engine(document.engine)[1].image
    if resolved_engine(baseline.engine)[1].image != image:
        return
    before = baseline.versions.get("engine", UNKNOWN_VERSION)
    if UNKNOWN_VERSION not in (before, version) and before != version:
        raise RefusalError(
            "EngineMoved",
            f"the baseline {document.baseline} was measured by version {before} of the engine, "
            f"and {image} is version {version} now: "
            "their numbers cannot be compared",
            f"write {field_path(document.engine)}.image with a digest (name@sha256:...), "
            "so that both are measured anew by one engine",
        )


def two_engines(result: StoredResult, original: StoredResult | None) -> list[Section]:
    """Says that the original was measured in another engine than its candidate, and in which."""
    if original is None or digest("runtime", original.engine) == digest("runtime", result.engine):
        return []
    text = (
        "The original was measured in another engine than this candidate. Prompts, texts and the way of measuring are "
        "the same, but a part of the difference may be the engines'."
    )
    theirs, ours = (resolved_engine(each.engine)[1].model_dump(by_alias=True) for each in (original, result))
    rows = [(name, str(theirs.get(name)), str(ours[name])) for name in ours if theirs.get(name) != ours[name]]
    return [Section("The original's engine", text, header=("", "original", "candidate"), rows=rows)]
