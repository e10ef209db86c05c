"""What Kubernetes' words about a pod mean: whether it passes by itself, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import InvalidOperation
from typing import NamedTuple

from lowbit.api.quantity import quantity
from lowbit.state.snapshot import Warned


class Cause(NamedTuple):
    """Why there is no pod, or why it does not start."""

    reason: str
    lasting: bool
    """It does not pass by itself: somebody has to change something."""
    action: str
    """What to do, as one sentence."""


WAITING_IS_WRONG = (
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "ImageInspectError",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
)
"""Reasons for which a container waits, and that something is wrong."""
PULLS = ("ImagePullBackOff", "ErrImagePull")
NOT_PULLED = re.compile(
    r"not found|manifest unknown|unauthorized|authentication required|denied|forbidden|no basic auth", re.IGNORECASE
)
"""The registry has answered, and said no."""
NEVER_STARTS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")
MISSING = re.compile(
    r"(?:configmap|secret|persistentvolumeclaim|serviceaccount)s? \"[^\"]+\" not found"
    r"|references non-existent|couldn't find key|could not find key",
    re.IGNORECASE,
)
"""An object, or a key of it, that a pod names and that is not there."""
QUOTA = re.compile(r"exceeded quota: .*?requested: (?P<requested>.*), used: .*, limited: (?P<limited>.*)")
UNLIMITED = re.compile(r"must specify ")
LIMIT_RANGE = re.compile(r"(?:maximum|minimum) \S+ usage per|max limit to request ratio", re.IGNORECASE)
UNREACHABLE = re.compile(
    r"failed calling webhook|failed to call webhook|Internal error|timeout|timed out|connection refused"
    r"|too many requests|etcdserver|the server is currently unable",
    re.IGNORECASE,
)
DENIED = re.compile(r"denied|violates PodSecurity|disallowed by", re.IGNORECASE)
FORBIDDEN = re.compile(r"is forbidden|is invalid|not found", re.IGNORECASE)

MESSAGE_LIMIT = 600
CHANGING = (
    (re.compile(r"^Error creating: "), ""),
    (re.compile(r'pods? "([^"]+)-[a-z0-9]{5}"'), r'pod of "\1"'),  # each attempt has another name
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "..."),  # and each sandbox another id
)
"""What differs each time the same is said: a status must not change with it."""
UNSAID = Cause("WaitingForPod", False, "Look at its events (kubectl describe).")


def of_creation(message: str, fields: str) -> Cause:
    """Why the API server does not let a pod be created. fields: where the manifest says what its containers ask for."""
    if UNLIMITED.search(message):
        action = (
            f"The namespace's quota wants requests and limits of every container: set them in {fields}, or for all "
            "models in platform.containers of the chart's values."
        )
        return Cause("PodForbidden", True, action)
    if (quota := QUOTA.search(message)) is not None:
        if _never_fits(quota["requested"], quota["limited"]):
            action = (
                f"The pod alone asks for more than the quota: ask for less in {fields}, or raise the ResourceQuota."
            )
            return Cause("QuotaExceeded", True, action)
        action = "It goes on when others in the namespace are done. Free what they use, or raise the ResourceQuota."
        return Cause("QuotaExceeded", False, action)
    if LIMIT_RANGE.search(message):
        return Cause("PodForbidden", True, f"Ask in {fields} for what the namespace's LimitRange allows, or change it.")
    if UNREACHABLE.search(message):
        action = "Kubernetes tries again. Look at the webhook or API server that does not answer."
        return Cause("WaitingForPod", False, action)
    if DENIED.search(message):
        action = "Change what the policy objects to (resources, labels, placement in the manifest), or ask who runs it."
        return Cause("PodForbidden", True, action)
    if FORBIDDEN.search(message):
        return Cause("PodForbidden", True, "Create what is missing, or change the manifest so that the pod is let in.")
    return UNSAID


def of_container(reason: str, message: str, fields: str) -> Cause:
    """Why a container waits. reason: one of WAITING_IS_WRONG."""
    if MISSING.search(message):
        return Cause(
            "PodNotStarted", True, "Create what is missing, in the same namespace, or name another in the manifest."
        )
    if reason in PULLS and not NOT_PULLED.search(message):
        return Cause("WaitingForPod", False, "Kubernetes tries again. Look at the registry and the node's way to it.")
    if reason in PULLS:
        return Cause("PodNotStarted", True, "Correct the image's name, or give the pod the Secret that may pull it.")
    action = f"Mend what it says: the image, or {fields}."
    return Cause("PodNotStarted" if reason in NEVER_STARTS else "WaitingForPod", reason in NEVER_STARTS, action)


def of_warning(warned: Warned, fields: str) -> Cause:
    """What a warning means: of a Job that creates no pod, or of a pod that does not start."""
    if warned.reason == "FailedCreate":
        return of_creation(warned.message, fields)
    if MISSING.search(warned.message):
        return Cause(
            "PodNotStarted", True, "Create what is missing, in the same namespace, or name another in the manifest."
        )
    return Cause(
        "WaitingForPod", False, "Kubernetes tries again. Look at the volume, the network or the node it names."
    )


def steady(message: str) -> str:
    """A message of Kubernetes without what differs each time it is said."""
    for pattern, plain in CHANGING:
        message = pattern.sub(plain, message)
    return " ".join(message.split())[:MESSAGE_LIMIT]


def worst(warnings: Sequence[Warned], fields: str) -> tuple[Warned, Cause] | None:
    """The warning to tell of: the newest that does not pass by itself, else the newest."""
    found = [(each, of_warning(each, fields)) for each in warnings]
    return next((each for each in found if each[1].lasting), found[0] if found else None)


def _never_fits(requested: str, limited: str) -> bool:
    """Whether the pod alone asks for more of something than the whole quota has: "limits.memory=8Gi,pods=1"."""
    asked, most = (dict(_pairs(text)) for text in (requested, limited))
    try:
        return any(quantity(asked[name]) > quantity(most[name]) for name in asked.keys() & most.keys())
    except InvalidOperation:
        return False


def _pairs(text: str) -> list[tuple[str, str]]:
    return [
        (name.strip(), value.strip())
        for name, found, value in (each.partition("=") for each in text.split(","))
        if found
    ]
