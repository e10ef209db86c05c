"""Which of the Jobs with GPUs that wait in one namespace start now.

The Jobs exist, suspended, so order and count follow from objects. One key of the queue stands for a namespace, and no
key is in two hands: so two decisions never start Jobs at once, and the bound holds.
"""

from __future__ import annotations

from lowbit.state.plan import Plan, Start
from lowbit.state.snapshot import GpuJobs


def decide_gpu_jobs(seen: GpuJobs, bound: int | None) -> Plan:
    """Start those that wait, the earliest place first, until `bound` run; all of them if there is no bound."""
    free = len(seen.waiting) if bound is None else max(0, bound - seen.running)
    return Plan(actions=tuple(Start(job.name, job.uid, job.resource_version) for job in seen.waiting[:free]))
