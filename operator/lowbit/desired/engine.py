"""The engine's container. Evaluation and serving share this code, so that the measured engine is the served one.

What only one of them needs comes from the engine kind's measuring() and serving().
"""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.engine import Resources
from lowbit.api.engines import ResolvedEngine, resolved_engine
from lowbit.api.engines.base import Only
from lowbit.api.paths import SCRATCH_PATH
from lowbit.api.platform import Platform
from lowbit.desired.common import Gpus, Manifest, container_security, environment, literal, resources, without_empty
from lowbit.desired.volumes import Mount, volume_mounts
from lowbit.naming.names import MANAGED_BY

ENVIRONMENT = {
    "HOME": SCRATCH_PATH,
    "TMPDIR": SCRATCH_PATH,
    "USER": MANAGED_BY,  # a numeric user has no name, and torch asks for one
}


def engine_container(
    served_name: str,
    engine: ResolvedEngine,
    asked: Resources,
    platform: Platform,
    mounts: Sequence[Mount],
    *,
    only: Only,
) -> Manifest:
    """The container `engine`, without probes. only: what its kind adds for measuring or for serving."""
    kind, settings = resolved_engine(engine)
    gpus = Gpus(kind.devices(settings), platform.gpu_resource)
    plain = {**ENVIRONMENT, **kind.environment(), **only.environment}
    return {
        "name": "engine",
        "image": settings.image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": list(kind.command),
        "args": [literal(each) for each in (*kind.arguments(served_name, settings), *only.arguments)],
        "env": environment(plain, settings.env),
        "volumeMounts": volume_mounts(mounts),
        "securityContext": container_security(),
    } | without_empty({"resources": resources(asked, platform.containers.engine, gpus=gpus)})
