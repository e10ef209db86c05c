"""The other pods of each group that serves: made for a leader's pod as soon as it has an address."""

from __future__ import annotations

from lowbit.api.modelstore import ModelStoreSpec
from lowbit.decide.serving.letgo import ENDED
from lowbit.decide.serving.serve import by_name, context_of, served_now
from lowbit.decide.serving.target import Target, passed
from lowbit.desired.common import Manifest
from lowbit.desired.group.followers import Leader
from lowbit.desired.topology import topology_of
from lowbit.naming.names import LEADER_ANNOTATION, REVISION_LABEL, followers_name
from lowbit.state.plan import Action, Create, Delete
from lowbit.state.snapshot import PodView, Snapshot


def follow(snapshot: Snapshot, store: ModelStoreSpec, target: Target) -> tuple[Action, ...]:
    """Make the followers of every leader that has none; remove those that look for it where it is no more.

    They are never changed: followers of another template have another leader. Kubernetes removes them with it. A former
    revision that serves until the target answers is kept whole as well.
    """
    if snapshot.model.body.spec.serving is None:
        return ()
    actions: list[Action] = []
    for pod in filter(leads, snapshot.pods):
        of = _target_of(snapshot, pod, target)
        if of is None or not _in_group(of):
            continue
        seen = snapshot.children.get(("StatefulSet", followers_name(snapshot.model.meta.name, pod.meta.uid)))
        if seen is None:
            made = _followers(snapshot, store, of, pod)
            actions += [Create(made)] if made is not None else []
            continue
        meta = seen["metadata"]
        moved = (meta.get("annotations") or {}).get(LEADER_ANNOTATION) != pod.address
        if moved and not meta.get("deletionTimestamp"):
            actions.append(Delete("StatefulSet", str(meta["name"]), str(meta["uid"]), str(meta["resourceVersion"])))
    return tuple(actions)


def _target_of(snapshot: Snapshot, pod: PodView, target: Target) -> Target | None:
    """What a pod serves, if that may be served."""
    label = pod.meta.labels.get(REVISION_LABEL)
    if label == target.label:
        return target
    revision = by_name(snapshot, label)
    return Target(revision) if revision is not None and passed(revision) else None


def _in_group(target: Target) -> bool:
    """Whether several pods hold an engine of it. Asked first: everything else costs more, at every decision."""
    spec = target.revision.body.spec
    engine = spec.original_engine if target.source else spec.engine
    return len(topology_of(engine).pods(engine)) > 1


def _followers(snapshot: Snapshot, store: ModelStoreSpec, target: Target, pod: PodView) -> Manifest | None:
    serving = snapshot.model.body.spec.serving
    if serving is None:
        return None
    what, leader = served_now(snapshot, target, serving), Leader(pod.meta.name, pod.meta.uid, pod.address or "")
    context = context_of(snapshot, store, target, serving)
    return topology_of(what.revision.engine).followers(context, snapshot.model.meta.name, what, leader)


def leads(pod: PodView) -> bool:
    """Whether a serving pod may have followers."""
    return pod.address is not None and not pod.meta.deleting and pod.phase not in ENDED
