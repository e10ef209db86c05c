"""The token of a model's groups: made once, before the first pod asks for it. The status remembers that it was."""

from __future__ import annotations

from lowbit.api.engines import engine_of
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.decide.owners import controller
from lowbit.desired.group.token import token_secret
from lowbit.naming.names import token_name
from lowbit.state.plan import MakeToken
from lowbit.state.snapshot import Snapshot


def token_of(name: str, spec: QuantizedModelSpec) -> str | None:
    """The Secret that the pods of a QuantizedModel of that name ask for; None if none does."""
    engines = (engine_of(each) for each in (spec.engine, spec.original_engine))
    return token_name(name) if any(kind.asks_token(settings) for kind, settings in engines) else None


def make_token(snapshot: Snapshot) -> tuple[MakeToken, ...]:
    """What makes it, before anything else; nothing where the status remembers it, which is written with it."""
    wanted = token_of(snapshot.model.meta.name, snapshot.model.body.spec)
    if wanted is None or snapshot.model.body.status.group_token == wanted:
        return ()
    return (MakeToken(token_secret(snapshot.model.meta.namespace, controller(snapshot))),)
