"""What makes an engine's container a member of a group: its command, its environment, and its probes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from lowbit.api.engines import ResolvedEngine, resolved_engine
from lowbit.api.engines.base import TOKEN_VARIABLE, Only
from lowbit.api.paths import FORMED_PATH, MEMBER_PATH, MEMBER_PORT
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest, literal
from lowbit.desired.probes import shell
from lowbit.naming.names import token_name

ORDINAL_LABEL: Final = "apps.kubernetes.io/pod-index"
TOKEN_KEY: Final = "token"  # noqa: S105 - the key of a Secret
WAIT_SECONDS: Final = 1800
"""How long the other members may take to come to their nodes, before a start counts as failed."""


def size_of(engine: ResolvedEngine) -> int:
    """Pods of a group. Raises ValueError for an engine that needs none."""
    kind, settings = resolved_engine(engine)
    size = kind.group_size(settings)
    if size is None:
        raise ValueError(f"{kind.name} needs no group")
    return size


@dataclass(frozen=True)
class Role:
    """What an engine's container is in its group."""

    model: str
    """The QuantizedModel, by whose name the engine serves."""
    engine: ResolvedEngine
    only: Only
    """What its kind adds for measuring or for serving."""
    rank: Manifest
    """The number in the group, as `value` or `valueFrom` of a variable."""
    leader: str = ""
    """Name or address of the leader's pod, if this may be another one."""


def as_member(container: Manifest, role: Role, platform: Platform) -> Manifest:
    """The engine's container as a member of a group."""
    kind, settings = resolved_engine(role.engine)
    programs = kind.programs(role.model, settings, role.only)
    told = {
        "size": size_of(role.engine), "port": MEMBER_PORT, "leader": role.leader, "formed": FORMED_PATH,
        "lead": programs.lead, "follow": programs.follow,
    }  # fmt: skip
    own = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    env: list[Manifest] = [{"name": "LOWBIT_RANK", **role.rank}]
    env += [{"name": name, **own} for name in ("LOWBIT_POD_IP", *kind.address_variables)]
    plain = kind.group_environment(settings, platform.group_interface)
    env += [{"name": name, "value": literal(value)} for name, value in plain.items()]
    if programs.token:
        secret = {"secretKeyRef": {"name": token_name(role.model), "key": TOKEN_KEY}}
        env.append({"name": TOKEN_VARIABLE, "valueFrom": secret})
    set_here = {each["name"] for each in env}
    return container | {
        "command": ["python3", "-I", MEMBER_PATH],
        "args": [literal(json.dumps(told, separators=(",", ":")))],
        "env": [*(each for each in container["env"] if each["name"] not in set_here), *env],
    }


def from_label(label: str) -> Manifest:
    """A variable's value from a label of the pod."""
    return {"valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}


def formed_probe() -> Manifest:
    """Ready while the group is complete."""
    return {"exec": shell(f"[ -e {FORMED_PATH} ]"), "periodSeconds": 5, "timeoutSeconds": 10, "failureThreshold": 1}


def probe_of_any(startup: Manifest) -> Manifest:
    """The start-up probe of a pod that may be the leader or not: a Job has one template for all its pods."""
    program = startup["exec"]["command"][-1]
    told = f'if [ "$LOWBIT_RANK" != 0 ]; then [ -e {FORMED_PATH} ]; exit; fi\n{program}'
    return startup | {"exec": shell(told)}


def waiting_longer(probe: Manifest) -> Manifest:
    """The start-up probe of a leader, which begins only when all members are there."""
    return probe | {"failureThreshold": probe["failureThreshold"] + WAIT_SECONDS // probe["periodSeconds"]}
