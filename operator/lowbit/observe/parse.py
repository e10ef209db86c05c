"""Lowbit's own objects, parsed. A newer or older Lowbit may have written what these types do not know."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lowbit.api.evaluation import Evaluation
from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStore
from lowbit.api.quantizedmodel import QuantizedModel, QuantizedModelSpec, QuantizedModelStatus
from lowbit.observe.views import metadata_of
from lowbit.state.snapshot import Observed

Body = TypeVar("Body", bound=BaseModel)

TYPES: dict[str, type[BaseModel]] = {
    "QuantizedModel": QuantizedModel,
    "ModelStore": ModelStore,
    "ModelRevision": ModelRevision,
    "ModelEvaluation": ModelEvaluation,
}


class Unreadable(Exception):  # noqa: N818
    """The object does not fit these types; the message says where."""


def parse(type_: type[Body], manifest: Mapping[str, Any]) -> Observed[Body]:
    """An object of one of Lowbit's kinds. A status that cannot be read counts as none. Raises Unreadable."""
    whole = {"spec": manifest.get("spec") or {}, "status": manifest.get("status") or {}}
    try:
        body = type_.model_validate(whole)
    except ValidationError as error:
        if all(each["loc"][:1] == ("status",) for each in error.errors()):
            body = type_.model_validate({"spec": whole["spec"]})
        else:
            raise Unreadable(_say(error)) from error
    return Observed(metadata_of(manifest), body)


def empty_model(manifest: Mapping[str, Any]) -> Observed[QuantizedModel]:
    """A QuantizedModel whose spec could not be parsed: with its metadata and, where it can be read, its status."""
    status = QuantizedModelStatus()
    with contextlib.suppress(ValidationError):
        status = QuantizedModelStatus.model_validate(manifest.get("status") or {})
    nothing = Evaluation.model_construct(suites=[])
    spec = QuantizedModelSpec.model_construct(candidates=[], evaluation=nothing)  # type: ignore[call-arg]
    return Observed(metadata_of(manifest), QuantizedModel.model_construct(spec=spec, status=status))


def _say(error: ValidationError) -> str:
    """The first three complaints: where, and what."""
    said = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:3]]
    return "; ".join(said)
