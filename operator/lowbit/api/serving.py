"""Serving: what clients reach once a revision has passed its gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import ObjectName, QueueName, Wire
from lowbit.api.pods import PodOptions
from lowbit.api.references import SecretKeyReference


class Serving(Wire):
    """How the passed revision is served."""

    replicas: int = Field(default=1, ge=0, le=1000)
    """Pods that serve. This is the scale subresource: autoscalers aim at the QuantizedModel."""
    revision: ObjectName | None = None
    """Pins one passed ModelRevision of this QuantizedModel, which is how a rollback is written in Git."""
    api_key_secret_ref: SecretKeyReference | None = None
    """The key of the Secret that clients must send as a Bearer token. A changed key takes effect without a restart."""
    fallback: Literal["None", "Source"] = "None"
    """What is served when no candidate passes: nothing, or the original itself."""
    drain_seconds: int = Field(default=30, ge=0, le=3600)
    """How long requests in flight may take when a pod is stopped."""
    queue_name: QueueName | None = None
    """The LocalQueue of Kueue that admits the serving pods, one by one. Kueue refuses another queue while a pod is
    ready: it is changed once none is."""
    workload_priority_class_name: QueueName | None = None
    """Kueue's WorkloadPriorityClass of the serving pods in a queue."""
    pod: PodOptions = PodOptions()
    """Where the serving pods run. Its resources are the guard's; the engine's are in spec.engine."""
