"""What no run would do to a cluster. Each takes two small numbers to choose by: on what, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowbit.api.base import API_VERSION
from lowbit.api.documents import QuantizeResult
from lowbit.api.status import ArtifactRecord
from lowbit.api.termination import TerminationMessage
from lowbit.naming.names import (
    FETCH_ANNOTATION,
    INPUT_ANNOTATION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MODEL_LABEL,
    REVISION_LABEL,
    STAGE_LABEL,
)
from tests.faults.states.actor import MESSAGES, OUTCOMES, end, finished
from tests.faults.states.cluster import OWN_KINDS, Cluster, Manifest
from tests.faults.states.specs import SPECS
from tests.unit.world import NAMESPACE, Reference, replica_set

Damage = Callable[[Cluster, int, int], None]
STATUSES: tuple[Manifest, ...] = (
    {"conditions": [{"type": "Ready"}]},
    {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "", "lastTransitionTime": "9999"}]},
    {"observedGeneration": "seven"},
    {"observedGeneration": 99, "stage": "Later", "phase": "Aborted", "shard": {"of": 7}},
    {"verdict": {}, "artifact": {"digest": "none"}, "summary": {}, "lastFailure": {}},
    {"lastFailure": {"stage": "", "reason": "", "message": "", "action": "", "time": ""}},
    {"evaluation": 7, "current": {"name": "gone"}},
)
TIMES = ("2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:30Z", "tomorrow", "2026-01-01")
WAITING = ("ImagePullBackOff", "CrashLoopBackOff", "ContainerCreating", "Strange")
LABELS = ("source", "elsewhere-0123456789", "")


def pick(cluster: Cluster, number: int, *kinds: str) -> Reference | None:
    """One object (of these kinds), in a fixed order."""
    found = sorted(r for r in cluster.objects if not kinds or r[0] in kinds)
    return found[number % len(found)] if found else None


def drop(cluster: Cluster, first: int, second: int) -> None:
    """An object is gone, and nothing that it owns: an older etcd, or a delete that orphans."""
    kinds = ("ModelRevision", "ModelEvaluation", "Job", "Pod", "Deployment", "Service", "ConfigMap", "ModelStore")
    if found := pick(cluster, first, kinds[second % len(kinds)]):
        cluster.objects.pop(found, None)


def delete(cluster: Cluster, first: int, _: int) -> None:
    """An object is deleted, and what it owns with it."""
    if found := pick(cluster, first):
        cluster.delete(*found)


def hold(cluster: Cluster, first: int, _: int) -> None:
    """An object is being deleted, and a finalizer holds it."""
    if found := pick(cluster, first):
        each = cluster.objects[found]
        cluster.write(found, each | {"metadata": each["metadata"] | {"finalizers": ["example.com/hold"]}})
        cluster.delete(*found)


def wipe(cluster: Cluster, first: int, second: int) -> None:
    """Status, or one field of it, is empty."""
    kinds = ("QuantizedModel", "ModelRevision", "ModelEvaluation", "Deployment", "Job", "Pod", "ModelStore")
    if found := pick(cluster, first, kinds[second % len(kinds)]):
        each = cluster.objects[found]
        fields = sorted(each["status"])
        kept = dict(each["status"]) if second % 2 and fields else {}
        kept.pop(fields[first % len(fields)] if fields else "", None)
        cluster.write(found, each | {"status": kept})


def garble(cluster: Cluster, first: int, second: int) -> None:
    """Status fields as another version would have left them."""
    if found := pick(cluster, first, *OWN_KINDS):
        each = cluster.objects[found]
        cluster.write(found, each | {"status": each["status"] | STATUSES[second % len(STATUSES)]})


def unreadable(cluster: Cluster, first: int, second: int) -> None:
    """A spec as a newer version would write it."""
    if found := pick(cluster, first, OWN_KINDS[second % len(OWN_KINDS)]):
        each = cluster.objects[found]
        cluster.write(found, each | {"spec": each["spec"] | {"shards": 7}})


def edit_deployment(cluster: Cluster, first: int, second: int) -> None:
    """A Deployment is edited by hand."""
    found = pick(cluster, first, "Deployment")
    if found is None:
        return
    each = cluster.objects[found]
    template = each["spec"]["template"]
    meta, pod = template["metadata"], template["spec"]
    revisions = [*LABELS, *sorted(cluster.names("ModelRevision"))]
    document = (meta.get("annotations") or {}).get(FETCH_ANNOTATION, "").replace("sha256:", "sha256:f", 1)[:-1]
    relabelled = (meta.get("labels") or {}) | {REVISION_LABEL: revisions[first % len(revisions)]}
    edits: list[Manifest] = [
        {"replicas": 0}, {"replicas": 7}, {"paused": True},
        {"template": template | {"metadata": meta | {"labels": relabelled}}},
        {"template": template | {"metadata": meta | {"annotations": {FETCH_ANNOTATION: document}}}},
        {"template": template | {"metadata": {"labels": {}}}},
        {"template": template | {"spec": pod | {"containers": pod["containers"][:1]}}},
        {"template": template | {"spec": pod | {"containers": [{"name": "engine", "image": "latest"}]}}},
    ]  # fmt: skip
    cluster.put(each | {"spec": each["spec"] | edits[second % len(edits)]})


def edit_child(cluster: Cluster, first: int, second: int) -> None:
    """Labels, owners or spec of any object are edited by hand."""
    found = pick(cluster, first)
    if found is None or found[0] in ("QuantizedModel", "ModelStore"):
        return
    each = cluster.objects[found]
    if each["metadata"]["uid"] in cluster.foreign and second % 6 in (2, 4):
        return  # nobody could tell it from one of ours any more
    metadata = dict(each["metadata"])
    stage = {key: value for key, value in (metadata.get("labels") or {}).items() if key == STAGE_LABEL}
    match second % 6:
        case 0:
            metadata["labels"] = stage
        case 1:
            metadata["labels"] = (metadata.get("labels") or {}) | {MODEL_LABEL: ("one", "two")[first % 2]}
        case 2:
            metadata.pop("ownerReferences", None)
        case 3:
            metadata["annotations"] = {"edited": "by hand"}
        case 4:
            metadata["labels"] = stage | {MANAGED_BY_LABEL: MANAGED_BY}
        case _:
            cluster.put(each | {"spec": {}} if found[0] in ("Service", "NetworkPolicy") else each)
            return
    cluster.write(found, each | {"metadata": metadata})


def foreign(cluster: Cluster, first: int, second: int) -> None:
    """Somebody else's object under a name of ours: without our label, or with it and another controller."""
    found = pick(cluster, first, "Deployment", "Service", "Job", "ConfigMap", "ServiceAccount", "NetworkPolicy")
    if found is None:
        return
    each = cluster.objects[found]
    cluster.objects.pop(found)
    app = cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "app", "uid": app["metadata"]["uid"], "controller": True}
    labels = (
        {"app": "other", STAGE_LABEL: "prepare"}
        if second % 2
        else {MANAGED_BY_LABEL: MANAGED_BY, MODEL_LABEL: ("one", "two")[first % 2]}
    )
    metadata = {"name": found[1], "labels": labels} | ({} if second % 4 == 1 else {"ownerReferences": [owner]})
    placed = cluster.put(each | {"metadata": metadata, "status": each["status"] if second % 3 else {}})
    cluster.foreign.add(placed["metadata"]["uid"])


def orphan(cluster: Cluster, first: int, second: int) -> None:
    """Owner references to uids that are gone."""
    found = pick(cluster, first)
    if found is None or found[0] in ("QuantizedModel", "ModelStore"):
        return
    each = cluster.objects[found]
    owners = [dict(owner) for owner in each["metadata"].get("ownerReferences") or ()]
    gone = {"apiVersion": API_VERSION, "kind": "QuantizedModel", "name": "one", "uid": "uid-gone"}
    if second % 2:
        owners.append(gone)
    else:
        owners = [owner | {"uid": "uid-gone"} for owner in owners] or [gone]
    cluster.write(found, each | {"metadata": each["metadata"] | {"ownerReferences": owners}})


def claim(cluster: Cluster, first: int, second: int) -> None:
    """Another revision claims to have passed; or there are two of one candidate."""
    found = pick(cluster, first, "ModelRevision")
    passed = [each for (k, _), each in sorted(cluster.objects.items()) if k == "ModelRevision" and
              (each["status"].get("verdict") or {}).get("verdict") == "Passed"]  # fmt: skip
    if found is None:
        return
    each = cluster.objects[found]
    if passed and second % 2:
        verdict = passed[0]["status"]["verdict"]
        artifact = each["status"].get("artifact") or passed[0]["status"].get("artifact")
        cluster.forged.add((artifact or {}).get("digest", ""))
        cluster.write(found, each | {"status": {"verdict": verdict} | ({"artifact": artifact} if artifact else {})})
        return
    twin = {key: value for key, value in each["metadata"].items() if key not in ("uid", "creationTimestamp")}
    twin["name"] = f"{each['spec'].get('quantizedModel', 'one')}-{first:010d}"
    cluster.put(each | {"metadata": twin})


def collect_jobs(cluster: Cluster, first: int, _: int) -> None:
    """Finished Jobs are gone, all or all but one."""
    jobs = sorted(n for n in cluster.names("Job") if finished(cluster.objects["Job", n]))
    for name in jobs[first % 2 :]:
        cluster.delete("Job", name)


def job_ends(cluster: Cluster, first: int, second: int) -> None:
    """A Job has ended in one of many ways, whatever it had come to before."""
    found = pick(cluster, first, "Job")
    if found is not None and "lowbit.dev/stage" in (cluster.objects[found]["metadata"].get("labels") or {}):
        end(cluster, found[1], OUTCOMES[second % len(OUTCOMES)], first)


def impostor(cluster: Cluster, first: int, second: int) -> None:
    """The result of a quantize Job is told by a pod that only has its label, or by a Job of another input."""
    ours = (name for name in cluster.names("Job") if name.startswith("quantize-") and not name.endswith("-2"))
    jobs = sorted(name for name in ours if cluster.objects["Job", name]["metadata"]["uid"] not in cluster.foreign)
    if not jobs:
        return
    name = jobs[first % len(jobs)]
    record = ArtifactRecord(digest="sha256:" + "f" * 64, bytes=100, source_bytes=283, ratio="2.83")
    message = TerminationMessage.of(QuantizeResult(artifact=record, seconds=1, peak_bytes=1))
    cluster.lies.add(record.digest)
    if second % 2:
        each = cluster.objects["Job", name]
        annotations = (each["metadata"].get("annotations") or {}) | {INPUT_ANNOTATION: "0" * 64}
        cluster.write(("Job", name), each | {"metadata": each["metadata"] | {"annotations": annotations}})
        cluster.finish_job(name, message)
        return
    text = message.model_dump_json(by_alias=True, exclude_none=True)
    ended = {"exitCode": 0, "reason": "Completed", "message": text}
    # Newer than any pod of the Job.
    metadata = {"name": f"{name}-other", "creationTimestamp": "2099-01-01T00:00:00Z",
                "labels": {"batch.kubernetes.io/job-name": name, MANAGED_BY_LABEL: MANAGED_BY}}  # fmt: skip
    status = {"phase": "Succeeded", "containerStatuses": [{"name": "worker", "state": {"terminated": ended}}]}
    cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def job_unended(cluster: Cluster, first: int, second: int) -> None:
    """A Job runs, whatever it had come to before; its pod is in trouble."""
    found = pick(cluster, first, "Job")
    if found is None:
        return
    cluster.write(found, cluster.objects[found] | {"status": {"ready": second % 2, "failed": first % 3}})
    state: Manifest = {"waiting": {"reason": WAITING[second % len(WAITING)]}}
    states = [{"name": ("worker", "engine", "fetch")[first % 3], "state": state, "restartCount": second}]
    cluster.add_pod(f"{found[1]}-late", found[1], ("Pending", "Running", "Unknown")[second % 3], states)


def clock(cluster: Cluster, first: int, second: int) -> None:
    """A time in an object is far off, or none."""
    found = pick(cluster, first)
    if found is None:
        return
    each, time = cluster.objects[found], TIMES[second % len(TIMES)]
    status = dict(each["status"])
    for name in ("completionTime", "startTime"):
        if name in status:
            status[name] = time
    if status.get("conditions"):
        status["conditions"] = [one | {"lastTransitionTime": time} for one in status["conditions"]]
    metadata = each["metadata"] | ({"creationTimestamp": time} if second < 3 else {})
    cluster.write(found, each | {"status": status, "metadata": metadata})


def model_store(cluster: Cluster, first: int, second: int) -> None:
    """The ModelStore is missing, not ready, not looked at, or another one."""
    each = cluster.objects.get(("ModelStore", "default"))
    if each is None:
        return
    ready = {"type": "Ready", "status": ("False", "Unknown")[first % 2], "reason": "ClaimLost", "message": "lost",
             "lastTransitionTime": TIMES[0]}  # fmt: skip
    if second % 4 == 0:
        cluster.objects.pop(("ModelStore", "default"))
    elif second % 4 == 1:
        cluster.write(("ModelStore", "default"), each | {"status": {"conditions": [ready]}})
    elif second % 4 == 2:
        cluster.write(("ModelStore", "default"), each | {"spec": {"pvc": {"claimName": "moved", "path": "x"}}})
    else:
        cluster.write(("ModelStore", "default"), each | {"spec": {"s3": {"bucket": "models"}}})


def apply(cluster: Cluster, first: int, second: int) -> None:
    """A QuantizedModel is applied: another spec, or a second one that shares what the first uses."""
    name = ("one", "two")[second % 2]
    spec = dict(SPECS[first % len(SPECS)])
    if second % 3 == 0 and ("QuantizedModel", "one") in cluster.objects:
        spec = cluster.objects["QuantizedModel", "one"]["spec"]
    cluster.apply_model(name, spec)


def reborn(cluster: Cluster, first: int, _: int) -> None:
    """A QuantizedModel is another one of the same name: what it had belongs to a uid that is gone."""
    if found := pick(cluster, first, "QuantizedModel"):
        each = cluster.objects[found]
        cluster.objects.pop(found)
        cluster.put({key: each[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": found[1]}})


def pin(cluster: Cluster, first: int, second: int) -> None:
    """spec.serving.revision names one that is there, another's, or none."""
    found = pick(cluster, first, "QuantizedModel")
    if found is None or not cluster.objects[found]["spec"].get("serving"):
        return
    each = cluster.objects[found]
    names = [*sorted(cluster.names("ModelRevision")), "nobody"]
    serving = each["spec"]["serving"] | {"revision": names[second % len(names)]}
    cluster.put(each | {"spec": each["spec"] | {"serving": serving}})


def serving_pod(cluster: Cluster, first: int, second: int) -> None:
    """A serving pod does not come up."""
    found = pick(cluster, first, "Deployment")
    if found is None:
        return
    labels = (cluster.objects[found]["spec"]["template"]["metadata"].get("labels") or {}) | {MODEL_LABEL: found[1]}
    refused = {"terminated": {"exitCode": 64, "reason": "Error", "message": MESSAGES[second % len(MESSAGES)]}}
    waiting = {"waiting": {"reason": WAITING[second % len(WAITING)]}}
    init = [{"name": "fetch", "state": refused}] if first % 2 else []
    metadata = {"name": f"{found[1]}-pod", "labels": labels | {MANAGED_BY_LABEL: MANAGED_BY}}
    metadata["ownerReferences"] = [replica_set(found[1])]
    status = {"phase": "Pending", "initContainerStatuses": init,
              "containerStatuses": [{"name": "engine", "state": waiting, "restartCount": second}]}  # fmt: skip
    cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def stuck_serving(cluster: Cluster, first: int, second: int) -> None:
    """What serves, or will, cannot start, however often it is tried at first."""
    names = sorted(cluster.names("QuantizedModel"))
    if names:
        cluster.stuck[names[first % len(names)]] = (second, 1 + second % 3)


def other_engine(cluster: Cluster, first: int, second: int) -> None:
    """A pod that serves runs another image than the one that was judged."""
    found = pick(cluster, first, "Deployment")
    if found is None:
        return
    deployment = cluster.objects[found]
    labels = (deployment["spec"]["template"]["metadata"].get("labels") or {}) | {
        MODEL_LABEL: found[1], MANAGED_BY_LABEL: MANAGED_BY,
    }  # fmt: skip
    owner = replica_set(found[1]) | {"uid": deployment["metadata"]["uid"]}
    engine = {"name": "engine", "imageID": f"engine@sha256:{2 + second % 2}", "ready": True, "state": {"running": {}}}
    cluster.put(
        {
            "apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": f"node-{second}"},
            "metadata": {"name": f"{found[1]}-other-{second}", "labels": labels, "ownerReferences": [owner]},
            "status": {
                "phase": "Running", "containerStatuses": [engine], "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )  # fmt: skip


def leads(cluster: Cluster, first: int, second: int) -> None:
    """A pod that answers, or is to, has an address, or another one than before."""
    found = pick(cluster, first, "Deployment")
    if found is None:
        return
    deployment, name = cluster.objects[found], f"{found[1]}-leads-{second % 2}"
    owner = replica_set(found[1]) | {"uid": deployment["metadata"]["uid"]}
    labels = (deployment["spec"]["template"]["metadata"].get("labels") or {}) | {
        MODEL_LABEL: found[1], MANAGED_BY_LABEL: MANAGED_BY,
    }  # fmt: skip
    status = {"phase": ("Running", "Pending", "Failed")[second % 3], "podIP": f"10.0.0.{1 + second % 5}"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def remembered(cluster: Cluster, first: int, second: int) -> None:
    """The store in which files are has, or has not, what the statuses say."""
    if second % 2:
        cluster.stored.clear()
        cluster.found.clear()
        return
    for name, seen in cluster.seen.cache.views("ModelEvaluation", NAMESPACE).items():
        if seen.body.status.summary is not None:
            cluster.stored.setdefault(name, seen.body.status.summary)


DAMAGES: tuple[Damage, ...] = (
    drop, delete, hold, wipe, garble, unreadable, edit_deployment, edit_child, foreign, orphan, claim, collect_jobs,
    job_ends, job_unended, clock, model_store, apply, reborn, pin, serving_pod, remembered,
    stuck_serving, impostor, other_engine, leads,
)  # fmt: skip
BY_NAME: dict[str, Any] = {damage.__name__: damage for damage in DAMAGES}
