"""Groups of pods in the lab: who belongs to one, and how it is broken."""

from __future__ import annotations

from typing import Any

from tests.e2e.deaths import kill_container, running_container
from tests.e2e.lab import Lab, Manifest, model_spec

LEADERS = "app.kubernetes.io/component=serving"
FOLLOWERS = "app.kubernetes.io/component=serving-member"


def engine(**settings: Any) -> dict[str, Any]:
    """The engine of the tests, with further settings."""
    found: dict[str, Any] = model_spec()["engine"]
    found["vllm"] |= settings
    return found


def one(lab: Lab, selector: str) -> Manifest | None:
    """The only pod of that kind that is not going away."""
    pods = [each for each in lab.objects("pods", selector) if not each["metadata"].get("deletionTimestamp")]
    return pods[0] if len(pods) == 1 else None


def ready(pod: Manifest | None) -> bool:
    """Whether the pod is."""
    conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def container(pod: Manifest | None, name: str = "engine") -> Manifest:
    """The status of one of its containers."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((each for each in statuses if each["name"] == name), {})


def last_exit(pod: Manifest | None) -> int | None:
    """The exit code of the engine's former run."""
    found: int | None = ((container(pod).get("lastState") or {}).get("terminated") or {}).get("exitCode")
    return found


def kill(lab: Lab, selector: str) -> None:
    """SIGKILL to all that runs in the engine's container, as a broken node would."""
    found = running_container(lab, "engine", selector)
    assert found is not None, lab.picture()
    assert kill_container(found)
