"""What holds at rest: each QuantizedModel has what it asks for, or says why not, and nothing is left over."""

from __future__ import annotations

from typing import Any

from lowbit.decide.cleanup import needed_again
from lowbit.decide.serving.groups import leads
from lowbit.desired.topology import topology_of
from lowbit.naming.names import (
    FETCH_ANNOTATION,
    LEADER_ANNOTATION,
    REVISION_LABEL,
    evaluation_name,
    followers_name,
    input_hash,
)
from lowbit.resolve.freeze import baseline_spec, candidate_spec
from lowbit.state.snapshot import Snapshot
from tests.faults.states.cluster import Cluster, Manifest, document_of, read
from tests.faults.states.deploy import held_for_long
from tests.faults.states.rules import broken, check_conditions

WAITS = ("StoreNotReady", "StoreNotFound")
SERVING = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceAccount")


def check_end(cluster: Cluster, owned: bool, used: bool) -> None:
    """owned: no hand has been at the owner references; used: nor deleted what is shared."""
    held = cluster.held and any(each["metadata"].get("deletionTimestamp") for each in cluster.objects.values())
    for name in sorted(cluster.names("QuantizedModel")):
        model = cluster.model(name)
        if model["metadata"].get("deletionTimestamp"):
            continue
        conditions = {each["type"]: each for each in model["status"]["conditions"]}
        check_conditions(model["status"])
        ready, stalled = conditions["Ready"], conditions.get("Stalled")
        waits = ready["reason"] in WAITS
        broken(
            ready["status"] != "True" and stalled is None and not waits and not held,
            f"{name} waits for nothing: {ready}",
        )
        snapshot = cluster.snapshot(name)
        if waits or held or snapshot.invalid is not None:
            continue
        check_serving(cluster, snapshot)
        check_groups(snapshot)
        if ready["status"] == "True":
            check_ready(cluster, snapshot)
            check_compared(snapshot, conditions.get("Compared"))
        if owned:
            check_leftovers(cluster, snapshot)
            check_failed(cluster, stalled or {})
        if used:
            check_users(cluster, snapshot)


def check_gpus(cluster: Cluster) -> None:
    """A stalled serving holds no GPU for ever: where none of its pods can start, there are none after a while."""
    for name in sorted(cluster.stuck):
        deployment = cluster.objects.get(("Deployment", name))
        if deployment is None or ("QuantizedModel", name) not in cluster.objects or not looked_after(cluster, name):
            continue
        pods = held_for_long(cluster, name)
        broken(bool(pods), f"{', '.join(pods)} cannot start, and holds its GPU for ever")


def looked_after(cluster: Cluster, name: str) -> bool:
    """Whether the operator can act on a Deployment: it sees it as its own, and can read what it rests on."""
    model, snapshot = cluster.model(name), cluster.snapshot(name)
    deployment = snapshot.deployment
    ready: Manifest = next((each for each in model["status"].get("conditions", ()) if each["type"] == "Ready"), {})
    return not (
        model["metadata"].get("deletionTimestamp")
        or snapshot.invalid is not None
        or deployment is None
        or deployment.meta.deleting
        or deployment.meta.uid in cluster.foreign
        or ready.get("reason") in (*WAITS, "NameTaken")
    )


def check_ready(cluster: Cluster, snapshot: Snapshot) -> None:
    """Ready is the present spec: a revision that was made from it (or is pinned), with all that serves it."""
    meta, spec = snapshot.model.meta, snapshot.model.body.spec
    current = snapshot.model.body.status.current
    name = current.name if current is not None else ""
    revision = next((each for each in snapshot.revisions if each.meta.name == name), None)
    broken(revision is None, f"{meta.name} is Ready by a revision that is not there")
    assert revision is not None
    pinned = spec.serving is not None and spec.serving.revision == revision.meta.name
    broken(
        revision.body.spec.input_hash != input_hash(spec) and not pinned,
        f"{meta.name} is Ready by {revision.meta.name}, which was made from another spec",
    )
    missing = [kind for kind in SERVING if spec.serving is not None and (kind, meta.name) not in cluster.objects]
    broken(bool(missing), f"{meta.name} is Ready without {', '.join(missing)}")


def check_compared(snapshot: Snapshot, compared: Manifest | None) -> None:
    """Where all candidates are asked for each was judged or has failed, or it is said what somebody has to mend."""
    spec, name = snapshot.model.body.spec, snapshot.model.meta.name
    broken((spec.evaluation.compare == "All") != (compared is not None), f"{name}: Compared is there without need")
    if compared is None:
        return
    pinned = spec.serving is not None and spec.serving.revision is not None
    waits = compared["reason"] == "Comparing" or (compared["reason"] == "WaitingToCompare" and not pinned)
    broken(waits, f"{name} is at rest, and its comparison is not: {compared}")
    rows = snapshot.model.body.status.comparison or []
    unsaid = [row.name for row in rows[1:] if row.verdict is None and row.failure is None]
    broken(compared["status"] == "True" and bool(unsaid), f"{name} is compared, and {unsaid} are not")


def check_failed(cluster: Cluster, stalled: Manifest) -> None:
    """A Job that failed for good is the memory of it: it does not go by itself, to be made again."""
    for (kind, name), each in cluster.objects.items():
        named = f"Job {name} " in stalled.get("message", "") and stalled["reason"] != "NoResult"
        if kind == "Job" and named and "ttlSecondsAfterFinished" in each["spec"]:
            failed = any(one["type"] == "Failed" for one in each["status"].get("conditions") or ())
            broken(failed and not each["metadata"].get("deletionTimestamp"), f"{name} failed for good, and will expire")


def controlled(cluster: Cluster, snapshot: Snapshot, *kinds: str) -> list[Manifest]:
    """Objects of these kinds that the QuantizedModel controls."""
    me = snapshot.model.meta.uid
    return [
        each
        for (kind, _), each in sorted(cluster.objects.items())
        if kind in kinds and any(o["uid"] == me and o.get("controller") for o in owners_of(each))
    ]


def owners_of(each: Manifest) -> list[dict[str, Any]]:
    """Its owner references."""
    return list(each["metadata"].get("ownerReferences") or ())


def check_serving(cluster: Cluster, snapshot: Snapshot) -> None:
    """Where nothing is asked for nothing serves; and no artifact that is bad."""
    name, serving = snapshot.model.meta.name, snapshot.model.body.spec.serving
    children = controlled(cluster, snapshot, *SERVING)
    broken(serving is None and bool(children), f"{name} serves, and was not asked to: {[c['kind'] for c in children]}")
    for each in children:
        text = document_of(each, FETCH_ANNOTATION) if each["kind"] == "Deployment" else None
        if serving is None or text is None:
            continue
        digest = read(text)[1]
        sources = {revision.body.spec.source.digest for revision in snapshot.revisions}
        source = serving.fallback == "Source" and digest in sources
        good = digest in cluster.forged or cluster.quality(digest) == "Passed"
        broken(not source and not good, f"{name} goes on serving what has not passed")


def check_groups(snapshot: Snapshot) -> None:
    """Every pod that leads a group has its followers, who look for it where it is; one pod alone has none."""
    deployment, revisions = snapshot.deployment, {each.meta.name: each for each in snapshot.revisions}
    revision = revisions.get(deployment.revision or "") if deployment is not None else None
    if revision is None or revision.body.status.verdict is None:
        return
    size = len(topology_of(revision.body.spec.engine).pods(revision.body.spec.engine))
    mine = (each for each in snapshot.pods if each.meta.labels.get(REVISION_LABEL) == revision.meta.name)
    for pod in filter(leads, mine):
        name = followers_name(snapshot.model.meta.name, pod.meta.uid)
        seen = snapshot.children.get(("StatefulSet", name))
        broken((seen is None) != (size == 1), f"{pod.meta.name} of a group of {size} has followers: {seen is not None}")
        if seen is not None and not seen["metadata"].get("deletionTimestamp"):
            told = (seen["metadata"].get("annotations") or {}).get(LEADER_ANNOTATION)
            broken(told != pod.address, f"{name} looks for its leader at {told}, and it is at {pod.address}")


def check_leftovers(cluster: Cluster, snapshot: Snapshot) -> None:
    """Revisions of former inputs that never passed are gone, and evaluations that no revision uses."""
    me, spec = snapshot.model.meta, snapshot.model.body.spec
    hash_ = input_hash(spec)
    needed: set[str] = set()
    present = [each for each in snapshot.revisions if each.body.spec.input_hash == hash_]
    # What is begun may be what the next candidate needs.
    may_be_needed = len(present) < len(spec.candidates) and not any(
        each.body.status.artifact is None or each.body.status.verdict is None for each in present
    )
    for revision in snapshot.revisions:
        status, its = revision.body.status, revision.body.spec
        passed = status.verdict is not None and status.verdict.verdict == "Passed"
        named = snapshot.deployment is not None and snapshot.deployment.revision == revision.meta.name
        pinned = spec.serving is not None and spec.serving.revision == revision.meta.name
        kept = its.input_hash == hash_ or passed or named or pinned or revision.meta.deleting
        kept = kept or (status.artifact is None and may_be_needed)
        broken(not kept, f"{revision.meta.name} is of a former input, has not passed, and stays")
        if status.artifact is None:
            return
        needed |= {evaluation_name(baseline_spec(its)), evaluation_name(candidate_spec(its, status.artifact.digest))}
        needed |= {name for again in status.judged_again for name in (again.baseline, again.evaluation)}
    needed |= needed_again(snapshot)
    for name, seen in snapshot.evaluations.items():
        mine = any(owner.uid == me.uid for owner in seen.meta.owners)
        broken(mine and name not in needed and not seen.meta.deleting, f"{me.name} keeps {name}, which it does not use")


def check_users(cluster: Cluster, snapshot: Snapshot) -> None:
    """A shared evaluation that a verdict rests on lives as long as each that uses it."""
    for revision in snapshot.revisions:
        for name in (revision.body.status.baseline, revision.body.status.evaluation):
            seen = snapshot.evaluations.get(name or "")
            if seen is None or seen.meta.deleting or revision.meta.deleting:
                continue
            owned = any(owner.uid == snapshot.model.meta.uid for owner in seen.meta.owners)
            broken(not owned, f"{name}, which {revision.meta.name} rests on, is not {snapshot.model.meta.name}'s")
