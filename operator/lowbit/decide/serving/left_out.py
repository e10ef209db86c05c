"""Options of the manifest that what serves does without, because its engine's version has no such option."""

from __future__ import annotations

from lowbit.api.engines import engine_of, resolved_engine
from lowbit.decide.serving.target import Target
from lowbit.state.snapshot import Snapshot


def left_out(snapshot: Snapshot, served: Target | None) -> str | None:
    """The first such option as a sentence; None where there is none.

    A revision keeps the image that it was judged with, so the manifest alone does not tell.
    """
    if served is None:
        return None
    kind, settings = engine_of(snapshot.model.body.spec.engine)
    frozen, resolved = resolved_engine(served.revision.body.spec.engine)
    if frozen is not kind:
        return None
    asked = settings.model_copy(update={"image": resolved.image})
    problems = kind.not_in_version(asked, snapshot.platform)
    return next((f"{each.field} is left out: {each.message}" for each in problems), None)
