"""Kueue and the Job controller, as tests play them: Jobs are suspended, admitted and preempted."""

from __future__ import annotations

from tests.unit.world import World


def stamp(world: World) -> str:
    return f"{world.now:%Y-%m-%dT%H:%M:%SZ}"


def waiting_jobs(world: World) -> list[str]:
    """Names of the suspended Jobs, sorted."""
    return sorted(name for name in world.names("Job") if world.objects["Job", name]["spec"].get("suspend"))


def ended(world: World, job: str) -> bool:
    found = world.objects["Job", job]["status"].get("conditions") or []
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in found)


def running_jobs(world: World) -> list[str]:
    """Names of the Jobs that are neither suspended nor ended, sorted."""
    return sorted(
        name for name in world.names("Job") if name not in set(waiting_jobs(world)) and not ended(world, name)
    )


def suspend(world: World, job: str) -> None:
    """Somebody suspends it; its controller deletes its pods and says so."""
    known = world.objects["Job", job]
    said = {"type": "Suspended", "status": "True", "lastTransitionTime": stamp(world)}
    before = {"startTime": known["status"]["startTime"]} if "startTime" in known["status"] else {}
    for kind, name in list(world.objects):
        labels = world.objects[kind, name]["metadata"].get("labels") or {}
        if kind == "Pod" and labels.get("batch.kubernetes.io/job-name") == job:
            world.delete("Pod", name)
    known = world.objects["Job", job]
    world.put(known | {"spec": known["spec"] | {"suspend": True}, "status": before | {"conditions": [said]}})


def resume(world: World, job: str) -> None:
    """Kueue admits it; its controller starts it anew."""
    known = world.objects["Job", job]
    said = {"type": "Suspended", "status": "False", "lastTransitionTime": stamp(world)}
    status = {"startTime": stamp(world), "conditions": [said]}
    world.put(known | {"spec": known["spec"] | {"suspend": False}, "status": status})


def run_pod(world: World, job: str) -> None:
    """Its pod runs."""
    world.add_pod(f"{job}-p", job, "Running", [{"name": "worker", "state": {"running": {}}}])
