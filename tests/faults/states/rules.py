"""What holds in every state on the way: of a plan before it is carried out, of a cluster after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from lowbit.naming.names import FETCH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, revision_name, second_attempt
from lowbit.state.plan import Apply, Conclude, Create, Delete, End, Keep, Plan, SetOwners, WriteStatus
from lowbit.state.snapshot import Snapshot
from tests.faults.states.actor import finished
from tests.faults.states.cluster import OWN_KINDS, Cluster, Manifest, document_of, read

SERVED = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount", "PodMonitor", "ConfigMap")


Owned = SetOwners | Delete | Keep | End | Conclude
"""Actions on objects that are there."""


class Broken(AssertionError):  # noqa: N818
    """A rule does not hold."""


def broken(condition: bool, message: str) -> None:
    """Raise Broken where the condition holds."""
    if condition:
        raise Broken(message)


def check_plan(cluster: Cluster, snapshot: Snapshot, plan: Plan) -> None:
    """The safety rules, of what the operator is about to do."""
    acts = bool(plan.actions) or plan.status is not None
    broken(
        snapshot.model.meta.deleting and acts, f"{snapshot.model.meta.name} is going away, and is still looked after"
    )
    for action in plan.actions:
        match action:
            case Create() | Apply():
                kind, name = action.manifest["kind"], action.manifest["metadata"]["name"]
                check_target(cluster, snapshot, kind, name, action)
                if kind == "Deployment":
                    check_served(cluster, snapshot, action.manifest)
                if kind == "Job":
                    check_job(cluster, name, action.manifest)
            case SetOwners() | Delete():
                check_owned(cluster, snapshot, action.kind, action)
            case Keep() | End() | Conclude():
                check_owned(cluster, snapshot, "Job", action)
    if plan.status is not None:
        check_status(cluster, snapshot, plan.status)


def check_target(cluster: Cluster, snapshot: Snapshot, kind: str, name: str, action: Create | Apply) -> None:
    """No foreign object is overwritten, no existing object is created again, and every new object has an owner."""
    owners = {each["uid"] for each in action.manifest["metadata"].get("ownerReferences") or ()}
    broken(not owners & collectors(snapshot, kind), f"makes {kind} {name}, which nobody would collect")
    known = cluster.objects.get((kind, name))
    if known is None:
        return
    seen = cluster.seen.cache.get(kind, snapshot.model.meta.namespace, name)
    broken(isinstance(action, Create) and seen is not None, f"creates {kind} {name}, which is there and seen")
    broken(
        isinstance(action, Apply) and seen is not None and known["metadata"]["uid"] in cluster.foreign,
        f"applies {kind} {name}, which is somebody else's",
    )


def collectors(snapshot: Snapshot, kind: str) -> set[str]:
    """Whose end is the end of an object of that kind: the followers of a group go with their leader's pod."""
    if kind == "StatefulSet":
        return {pod.meta.uid for pod in snapshot.pods}
    if kind in ("Service", "NetworkPolicy"):
        return {snapshot.model.meta.uid, *(seen.meta.uid for seen in snapshot.evaluations.values())}
    return {snapshot.model.meta.uid}


def check_owned(cluster: Cluster, snapshot: Snapshot, kind: str, action: Owned) -> None:
    """Deleted and patched is only what is ours, under its uid and resourceVersion; what others use stays theirs."""
    known = cluster.objects.get((kind, action.name))
    what = f"{type(action).__name__} {kind} {action.name}"
    if known is None:
        raise Broken(f"{what}: it is not there")
    metadata, me = known["metadata"], snapshot.model.meta.uid
    broken((action.uid, action.resource_version) != (metadata["uid"], metadata["resourceVersion"]), f"{what}: stale")
    labelled = (metadata.get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGED_BY
    controllers = [each["uid"] for each in metadata.get("ownerReferences") or () if each.get("controller")]
    mine = collectors(snapshot, kind)
    known_as_ours = labelled or kind in OWN_KINDS or me in controllers
    broken(metadata["uid"] in cluster.foreign or not known_as_ours, f"{what}: somebody else's")
    broken(bool(controllers) and not mine & set(controllers), f"{what}: another one controls it")
    broken(kind in ("QuantizedModel", "ModelStore"), f"{what}: a person's")
    if kind in ("Job", "ModelEvaluation") and not isinstance(action, Keep | End | Conclude):
        check_shared(snapshot, known, action, what)


def check_shared(snapshot: Snapshot, known: Manifest, action: SetOwners | Delete, what: str) -> None:
    """It takes or gives up its own reference and no other's. A finished Job is made again for all that share it."""
    before = {owner["uid"] for owner in known["metadata"].get("ownerReferences") or ()}
    after = {owner.uid for owner in action.owners} if isinstance(action, SetOwners) else set()
    ended = known["kind"] == "Job" and finished(known)
    if isinstance(action, Delete) and ended:
        return
    broken(not before - after <= {snapshot.model.meta.uid}, f"{what}: takes it from others")
    broken(not after - before <= {snapshot.model.meta.uid}, f"{what}: gives it to others")


def check_served(cluster: Cluster, snapshot: Snapshot, manifest: Mapping[str, Any]) -> None:
    """A revision that has passed, under its own artifact; or the source where fallback says so."""
    serving, text = snapshot.model.body.spec.serving, document_of(manifest, FETCH_ANNOTATION)
    broken(serving is None, "serves where nothing is to be served")
    assert serving is not None
    assert text is not None
    digest = read(text)[1]
    label = manifest["spec"]["template"]["metadata"]["labels"]["lowbit.dev/revision"]
    if label == "source":
        broken(serving.fallback != "Source", "serves the source, which fallback does not allow")
        sources = {revision.body.spec.source.digest for revision in snapshot.revisions}
        broken(digest not in sources, "serves as the source what is none")
        return
    revision = cluster.objects.get(("ModelRevision", label))
    status: Manifest = {} if revision is None else revision["status"]
    broken((status.get("verdict") or {}).get("verdict") != "Passed", f"serves {label}, which has not passed")
    broken((status.get("artifact") or {}).get("digest") != digest, f"serves {label} with another's artifact")
    broken(digest not in cluster.forged and cluster.quality(digest) != "Passed", f"serves {label}, which is bad")


def check_job(cluster: Cluster, name: str, manifest: Manifest | Mapping[str, Any]) -> None:
    """No Job for work whose result is known, and a second attempt only after the first has failed."""
    if ("Job", name) in cluster.objects:
        return
    stage = manifest["metadata"]["labels"]["lowbit.dev/stage"]
    first = name.removesuffix("-2")
    if first != name:
        known = cluster.objects.get(("Job", first))
        broken(known is None or not finished(known), f"makes {name} while {first} has not failed")
    if stage == "evaluate":
        evaluation = cluster.objects.get(("ModelEvaluation", first))
        cached = cluster.seen.cache.views("ModelEvaluation", "models").get(first)
        measured = evaluation is not None and cached is not None and cached.body.status.summary is not None
        broken(measured, f"makes {name}, which is measured")
    if stage == "quantize":
        for revision in cluster.seen.cache.views("ModelRevision", "models").values():
            known_hash = revision.body.spec.artifact_hash
            genuine = revision.meta.name == revision_name(revision.body.spec)
            made = genuine and revision.body.status.artifact is not None and first == f"quantize-{known_hash[:10]}"
            broken(made and not revision.meta.deleting, f"makes {name}, whose artifact {revision.meta.name} has")


def check_status(cluster: Cluster, snapshot: Snapshot, write: WriteStatus) -> None:
    """Statuses differ from what is there, are ours to write, and say what a person has to do."""
    known = cluster.objects.get((write.kind, write.name))
    if known is None:
        raise Broken(f"writes the status of {write.kind} {write.name}, which is not there")
    metadata = known["metadata"]
    fresh = (write.uid, write.resource_version) == (metadata["uid"], metadata["resourceVersion"])
    broken(not fresh, f"writes the status of {write.kind} {write.name} by a stale view")
    broken(known["status"] == write.status, f"writes the status of {write.kind} {write.name} without a change")
    if write.kind == "QuantizedModel":
        broken(write.name != snapshot.model.meta.name, "writes another QuantizedModel's status")
        check_conditions(write.status)
        return
    controllers = [each["uid"] for each in metadata.get("ownerReferences") or () if each.get("controller")]
    others = write.kind == "ModelRevision" and bool(controllers) and snapshot.model.meta.uid not in controllers
    broken(others, f"writes the status of {write.name}, another one's")
    told = (write.status.get("artifact") or {}).get("digest")
    broken(told in cluster.lies, f"believes an impostor: the artifact of {write.name}")
    artifact = (known["status"].get("artifact") or {}).get("digest")
    lost = write.kind == "ModelRevision" and artifact and not write.status.get("artifact")
    broken(bool(lost) and readable(cluster, write.name), f"forgets the artifact of {write.name}")


def readable(cluster: Cluster, revision: str) -> bool:
    """Whether the operator could read the artifact that the status names."""
    seen = cluster.seen.cache.views("ModelRevision", "models").get(revision)
    return seen is not None and seen.body.status.artifact is not None


def check_conditions(status: Mapping[str, Any]) -> None:
    """As kstatus reads them; Stalled with a message and an action."""
    conditions = {each["type"]: each for each in status["conditions"]}
    broken(not {"Available", "Ready"} <= set(conditions), "Available or Ready is missing")
    ready, stalled = conditions["Ready"], conditions.get("Stalled")
    broken("Stalled" in conditions and "Reconciling" in conditions, "Stalled and Reconciling at once")
    said = len(conditions.keys() - {"Compared", "VerdictStale"})
    broken(ready["status"] == "True" and said > 2, "Ready, and Stalled or Reconciling")
    broken(ready["status"] != "True" and said < 3, "not Ready, and neither Stalled nor Reconciling")
    for each in conditions.values():
        broken(not each["reason"] or not each["message"], f"{each['type']} without a reason or message")
    if stalled is not None:
        failure = status.get("lastFailure") or {}
        broken(not (failure.get("message") or "").strip(), "Stalled without a failure's message")
        broken(not (failure.get("action") or "").strip(), f"Stalled ({stalled['reason']}) without an action")
        broken(not (failure.get("reason") or "").strip(), "Stalled without a failure's reason")


def check_cluster(cluster: Cluster) -> None:
    """One Job for one work: the second attempt only after the first has failed."""
    work: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for (kind, name), each in cluster.objects.items():
        text = document_of(each) if kind == "Job" and each["metadata"]["uid"] not in cluster.foreign else None
        if text is not None:
            work[read(text)[0]].append((name, finished(each)))
    for jobs in work.values():
        first = min(jobs)[0]
        broken(not {name for name, _ in jobs} <= {first, second_attempt(first)}, f"made twice: {jobs}")
        broken(sum(not done for _, done in jobs) > 1, f"both attempts are under way: {jobs}")
