"""What holds when all is at rest: each QuantizedModel has what it asks for or says why not, and nothing is left over."""

from __future__ import annotations

from typing import Any

from lowbit.api.freeze import baseline_spec, candidate_spec
from lowbit.api.names import FETCH_ANNOTATION, evaluation_name, input_hash
from lowbit.decide.snapshot import Snapshot
from tests.faults.states.cluster import Cluster, Manifest, document_of, read
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
        if owned:
            check_leftovers(cluster, snapshot)
        if used:
            check_users(cluster, snapshot)


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


def check_leftovers(cluster: Cluster, snapshot: Snapshot) -> None:
    """Revisions of former inputs that never passed are gone, and evaluations that no revision uses."""
    me, spec = snapshot.model.meta, snapshot.model.body.spec
    hash_ = input_hash(spec)
    needed: set[str] = set()
    for revision in snapshot.revisions:
        status, its = revision.body.status, revision.body.spec
        passed = status.verdict is not None and status.verdict.verdict == "Passed"
        named = snapshot.deployment is not None and snapshot.deployment.revision == revision.meta.name
        pinned = spec.serving is not None and spec.serving.revision == revision.meta.name
        kept = its.input_hash == hash_ or passed or named or pinned or revision.meta.deleting
        broken(not kept, f"{revision.meta.name} is of a former input, has not passed, and stays")
        if status.artifact is None:
            return
        needed |= {evaluation_name(baseline_spec(its)), evaluation_name(candidate_spec(its, status.artifact.digest))}
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
