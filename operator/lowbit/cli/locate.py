"""Where the report of a QuantizedModel or a ModelRevision lies, and the verdict of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStore, ModelStoreSpec
from lowbit.api.pods import JobOptions
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.kube.errors import NotFound


class NoReportError(Exception):
    """There is no report to show. Says why and what to do."""


class Reader(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """One object. Raises NotFound."""


@dataclass(frozen=True)
class Located:
    """One revision that was measured."""

    namespace: str
    name: str
    """The ModelRevision's."""
    revision: ModelRevision
    evaluation: str
    page_digest: str | None
    """Of report.html."""
    json_digest: str | None
    """Of report.json; None for what an older Lowbit has measured."""
    store: ModelStoreSpec
    options: JobOptions
    """Of a Job that reaches the store."""


async def locate(kube: Reader, namespace: str, name: str) -> Located:
    """The newest measured revision of a QuantizedModel, or the ModelRevision of this name.

    Raises NoReportError, KubeError.
    """
    model, names = await _candidates(kube, namespace, name)
    for each in names:
        manifest = await _get(kube, "ModelRevision", namespace, each)
        revision = ModelRevision.model_validate(_body(manifest)) if manifest else None
        if revision is not None and revision.status.evaluation is not None:
            return await _located(kube, namespace, each, revision, model)
    raise NoReportError(
        f"QuantizedModel {namespace}/{name} has no measured revision yet: wait until its stage is past Evaluating, or "
        "name a ModelRevision (kubectl get modelrevisions)"
        if model
        else f"ModelRevision {namespace}/{name} is not measured yet: wait until it has a verdict"
    )


async def _candidates(kube: Reader, namespace: str, name: str) -> tuple[QuantizedModel | None, list[str]]:
    """The QuantizedModel, if there is one of that name, and the revisions to look at, newest first."""
    manifest = await _get(kube, "QuantizedModel", namespace, name)
    if manifest is not None:
        model = QuantizedModel.model_validate(_body(manifest))
        summaries = (model.status.candidate, model.status.current)
        return model, [each.name for each in summaries if each is not None]
    revision = await _get(kube, "ModelRevision", namespace, name)
    if revision is None:
        raise NoReportError(
            f"there is neither a QuantizedModel nor a ModelRevision {name} in namespace {namespace}: "
            "give another namespace with -n, or look with kubectl get quantizedmodels,modelrevisions -A"
        )
    owner = await _get(
        kube, "QuantizedModel", namespace, ModelRevision.model_validate(_body(revision)).spec.quantized_model
    )
    return (QuantizedModel.model_validate(_body(owner)) if owner else None), [name]


async def _located(
    kube: Reader, namespace: str, name: str, revision: ModelRevision, model: QuantizedModel | None
) -> Located:
    evaluation = str(revision.status.evaluation)
    found = await _get(kube, "ModelEvaluation", namespace, evaluation)
    summary = ModelEvaluation.model_validate(_body(found)).status.summary if found else None
    if summary is None or summary.report_path is None:
        raise NoReportError(
            f"ModelEvaluation {namespace}/{evaluation} is gone or has no report: touch the QuantizedModel, so that it "
            "is read from the store again"
        )
    store = await _get(kube, "ModelStore", namespace, revision.spec.store_ref)
    if store is None:
        raise NoReportError(f"ModelStore {namespace}/{revision.spec.store_ref} is gone: the report lies in it")
    options = model.spec.jobs.prepare if model else JobOptions()
    return Located(
        namespace, name, revision, evaluation, summary.report_digest, summary.report_json_digest,
        ModelStore.model_validate(_body(store)).spec, options,
    )  # fmt: skip


async def _get(kube: Reader, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    try:
        return await kube.get(kind, namespace, name)
    except NotFound:
        return None


def _body(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {"spec": manifest["spec"], "status": manifest.get("status") or {}}
