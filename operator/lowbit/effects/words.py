"""Log lines about effects."""

from __future__ import annotations

from typing import Any

from lowbit.observe.keys import Key
from lowbit.state.plan import Action, Apply, Conclude, Create, Delete, End, Keep, MakeToken, ScaleDown, SetOwners, Start


def about(key: Key) -> dict[str, Any]:
    """The `extra` of a log line about one object."""
    return {"object": {"kind": key.kind, "namespace": key.namespace, "name": key.name}}


def described(action: Action) -> str:
    """A finished action as a log line: "created Job quantize-0a1b2c3d4e"."""
    match action:
        case Create():
            return f"created {action.manifest['kind']} {action.manifest['metadata']['name']}"
        case Apply():
            return f"applied {action.manifest['kind']} {action.manifest['metadata']['name']}"
        case SetOwners():
            owners = ", ".join(owner.name for owner in action.owners) or "nobody"
            return f"{action.kind} {action.name} is now used by {owners}"
        case Delete():
            return f"deleted {action.kind} {action.name}"
        case Keep():
            return f"Job {action.name} stays: it failed for good"
        case End():
            return f"ended Job {action.name}: {action.why}"
        case Start():
            return f"started Job {action.name}: fewer Jobs with GPUs run than may"
        case ScaleDown():
            return f"scaled ReplicaSet {action.name} to 0: its pods cannot start, and old ones serve on"
        case MakeToken():
            return f"Secret {action.manifest['metadata']['name']} is there"
        case Conclude():
            return f"ended Job {action.name}: its worker had ended, and other containers had not"
