"""A cluster in memory for decide: objects, garbage collection, and an actor that plays Jobs, pods and Deployments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from lowbit.api.base import API_VERSION
from lowbit.api.documents import AskDocument, AskResult, EvaluateResult, PrepareResult, QuantizeResult
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.showcase import ServedShowcase
from lowbit.api.status import ArtifactRecord, CountedAttempt, EvaluationSummary, Measurement
from lowbit.api.termination import TerminationMessage
from lowbit.app.eventreader import INTERVAL
from lowbit.decide.gpujobs import decide_gpu_jobs
from lowbit.decide.reconcile import decide
from lowbit.effects.execute import owner_reference
from lowbit.naming.names import (
    DOCUMENT_ANNOTATION,
    GIVEN_UP_ANNOTATION,
    GPU_SLOT_ANNOTATION,
    WORKER_END_ANNOTATION,
    first_attempt,
)
from lowbit.observe.cache import Cache
from lowbit.observe.events import warnings_in
from lowbit.observe.keys import Key
from lowbit.observe.views import read_engine_log, read_result
from lowbit.state.plan import (
    Apply,
    Conclude,
    Create,
    Delete,
    End,
    Keep,
    MakeToken,
    Plan,
    ReadResult,
    ReadStart,
    ScaleDown,
    SetOwners,
    Start,
)
from lowbit.state.snapshot import EngineLog, EngineStart, EventsRead, NodeView, ResultRead, Snapshot
from lowbit.worker.__main__ import fitting
from tests.unit.measurements import Estimate, row, summary_of

NAMESPACE = "models"
START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 200
SUITE = "evaluation/"
"""Before the name of a suite, in the name of its dataset."""
SOURCE, DATASET = "sha256:" + "b" * 64, "sha256:" + "c" * 64
FACTS = ModelFacts(
    architecture="LlamaForCausalLM", model_type="llama", hidden_size=576, intermediate_size=1536, layers=30,
    attention_heads=9, key_value_heads=3, head_dim=64, vocab_size=49152, max_position_embeddings=8192, dtype="bfloat16",
    tied_embeddings=True, parameters=134_515_008, weight_bytes=269_060_552, tokenizer="d" * 64, chat_template=True,
)  # fmt: skip

Reference = tuple[str, str]
"""Kind and name; there is one namespace."""


class Stale(AssertionError):  # noqa: N818
    """A precondition of a write does not hold."""


@dataclass
class World:
    """State, and the counts of what was done to it."""

    objects: dict[Reference, dict[str, Any]] = field(default_factory=dict)
    created: list[Reference] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    kl: Callable[[str], float] = lambda evaluation: 0.05
    """KL divergence that the actor measures, by the evaluation's name."""
    also: dict[str, float] = field(default_factory=dict)
    """What else the actor measures on a candidate, by metric."""
    engine_image: Callable[[str], str] = lambda evaluation: "engine@sha256:1"
    """The image that the engine really runs, by the evaluate Job's name."""
    found: dict[str, ArtifactRecord] = field(default_factory=dict)
    """Artifacts that prepare finds in the store."""
    stored: dict[str, EvaluationSummary] = field(default_factory=dict)
    """Evaluations whose results are in the store: prepare finds them."""
    counted: CountedAttempt | None = None
    """What the store says of the next candidates that are evaluated."""
    datasets: set[str] = field(default_factory=lambda: {"calibration/general", "evaluation/fidelity"})
    """What prepare finds under the names of the spec's datasets."""
    now: datetime = START
    log: Callable[[str], str | None] = lambda pod: ""
    """What an engine said before it ended; None where nobody can read it any more."""
    engine_logs: dict[str, EngineLog] = field(default_factory=dict)
    """What was read of it."""
    warnings: dict[Reference, list[tuple[str, str]]] = field(default_factory=dict)
    """What Kubernetes' events warn of (reason, message), by the object that they are about; the newest first."""
    asked_events: list[Reference] = field(default_factory=list)
    """Whose events were read."""
    nodes: tuple[NodeView, ...] | None = None
    """Nodes with GPUs, where they may be read."""
    events_read: dict[Reference, EventsRead] = field(default_factory=dict)
    """What was read of them."""
    runs: Callable[[str], tuple[tuple[str, ...], str | None]] = lambda pod: ((), None)
    """Kernels that an engine's log names, and the product of its node's devices, by pod."""
    starts: dict[str, EngineStart] = field(default_factory=dict)
    """What was read of it."""
    rows: list[Measurement] = field(default_factory=list)
    """What the actor measures on a candidate besides."""
    lost: bool = False
    """The kubelet has thrown the logs of workers away."""
    worker_logs: dict[str, list[str]] = field(default_factory=dict)
    """What workers have written, by pod."""
    results: dict[str, ResultRead] = field(default_factory=dict)
    """What was read of it."""
    tokens: list[MakeToken] = field(default_factory=list)
    """Secrets that were asked for; nobody reads them."""
    platform: Platform = field(default_factory=Platform)
    versions: Any = field(default_factory=lambda: itertools.count(1))
    evaluated: int = 0

    def put(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create or replace an object, with what an API server adds."""
        metadata = dict(manifest["metadata"])
        known = self.objects.get((manifest["kind"], metadata["name"]))
        metadata["namespace"] = NAMESPACE
        metadata["uid"] = known["metadata"]["uid"] if known else f"uid-{next(self.versions)}"
        metadata["resourceVersion"] = str(next(self.versions))
        metadata.setdefault("creationTimestamp", f"{self.now:%Y-%m-%dT%H:%M:%SZ}")
        same = known is not None and known.get("spec") == manifest.get("spec")
        generation = known["metadata"]["generation"] if known else 0
        metadata["generation"] = generation if same else generation + 1
        status = manifest.get("status") or (known or {}).get("status") or {}
        whole = dict(manifest) | {"metadata": metadata, "status": status}
        self.objects[manifest["kind"], metadata["name"]] = whole
        return whole

    def apply_model(self, name: str, spec: Mapping[str, Any]) -> None:
        """What a user does."""
        self.put({"apiVersion": API_VERSION, "kind": "QuantizedModel", "metadata": {"name": name}, "spec": dict(spec)})

    def add_store(self, name: str = "default") -> None:
        """A ModelStore that has been looked at."""
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Bound",
            "message": "",
            "lastTransitionTime": "2026-01-01",
        }
        self.put(
            {
                "apiVersion": API_VERSION, "kind": "ModelStore", "metadata": {"name": name},
                "spec": {"pvc": {"claimName": "models"}}, "status": {"conditions": [ready]},
            }
        )  # fmt: skip

    def snapshot(self, name: str) -> Snapshot | None:
        """As observe would build it."""
        cache = self.cache()
        self.show_read(cache)
        return cache.snapshot(Key(NAMESPACE, name))

    def cache(self) -> Cache:
        """All objects, as an operator that has just started sees them."""
        cache = Cache(self.platform)
        for manifest in self.objects.values():
            cache.put(manifest)
        return cache

    def show_read(self, cache: Cache) -> None:
        """What was read of logs."""
        for pod, log in self.engine_logs.items():
            cache.put_engine_log(NAMESPACE, pod, log)
        for pod, start in self.starts.items():
            cache.put_engine_start(NAMESPACE, pod, start)
        for pod, result in self.results.items():
            cache.put_result(NAMESPACE, pod, result)
        for (kind, name), read in self.events_read.items():
            cache.put_events(kind, NAMESPACE, name, read)
        if self.nodes is not None:
            cache.put_nodes(self.nodes)

    def model(self, name: str) -> dict[str, Any]:
        """The QuantizedModel as it is."""
        return self.objects["QuantizedModel", name]

    def names(self, kind: str) -> set[str]:
        """Names of all objects of a kind."""
        return {name for each, name in self.objects if each == kind}

    def execute(self, plan: Plan) -> None:
        """Carry out a plan as the API server would."""
        for action in plan.actions:
            match action:
                case Create():
                    self.create(action.manifest)
                case Apply():
                    self._count(action.manifest)
                    self.put(action.manifest)
                case SetOwners():
                    self._same(action.kind, action.name, action.uid, action.resource_version)
                    known = self.objects[action.kind, action.name]
                    owners = [owner_reference(owner) for owner in action.owners]
                    self.put(known | {"metadata": known["metadata"] | {"ownerReferences": owners}})
                case Keep():
                    self._same("Job", action.name, action.uid, action.resource_version)
                    known = self.objects["Job", action.name]
                    spec = {k: v for k, v in known["spec"].items() if k != "ttlSecondsAfterFinished"}
                    self.put(known | {"spec": spec})
                case End():
                    self._same("Job", action.name, action.uid, action.resource_version)
                    known = self.objects["Job", action.name]
                    annotations = known["metadata"].get("annotations", {}) | {GIVEN_UP_ANNOTATION: action.why}
                    spec = {k: v for k, v in known["spec"].items() if k != "ttlSecondsAfterFinished"}
                    metadata = known["metadata"] | {"annotations": annotations}
                    self.put(known | {"metadata": metadata, "spec": spec | {"activeDeadlineSeconds": 1}})
                case Conclude():
                    self._same("Job", action.name, action.uid, action.resource_version)
                    known = self.objects["Job", action.name]
                    annotations = known["metadata"].get("annotations", {}) | {WORKER_END_ANNOTATION: action.end}
                    metadata = known["metadata"] | {"annotations": annotations}
                    self.put(known | {"metadata": metadata, "spec": known["spec"] | {"activeDeadlineSeconds": 1}})
                case MakeToken():
                    self.tokens.append(action)
                case Start():
                    self._same("Job", action.name, action.uid, action.resource_version)
                    known = self.objects["Job", action.name]
                    annotations = dict(known["metadata"]["annotations"])
                    annotations.pop(GPU_SLOT_ANNOTATION)
                    metadata = known["metadata"] | {"annotations": annotations}
                    self.put(known | {"metadata": metadata, "spec": known["spec"] | {"suspend": False}})
                case ScaleDown():
                    for (kind, name), each in list(self.objects.items()):
                        uids = {owner["uid"] for owner in each["metadata"].get("ownerReferences") or ()}
                        if kind == "Pod" and action.uid in uids:
                            self.objects.pop((kind, name))
                case Delete():
                    self._same(action.kind, action.name, action.uid, action.resource_version)
                    self.delete(action.kind, action.name)
        if plan.status is not None:
            write = plan.status
            self._same(write.kind, write.name, write.uid, write.resource_version)
            self.put(self.objects[write.kind, write.name] | {"status": dict(write.status)})
            self.events += [(event.reason, event.message) for event in plan.events]
        self._read_events(plan)
        for wanted in plan.read_logs:
            if isinstance(wanted, ReadStart):
                kernels, device = self.runs(wanted.pod)
                self.starts[wanted.pod] = EngineStart(wanted.uid, kernels, device)
                continue
            if isinstance(wanted, ReadResult):
                self.results[wanted.pod] = read_result(
                    "\n".join(() if self.lost else self.worker_logs.get(wanted.pod, ())), wanted.logged
                )
                continue
            log = self.log(wanted.pod)
            gone = EngineLog(wanted.ends, unread="the pod is gone")
            self.engine_logs[wanted.pod] = gone if log is None else read_engine_log(log, wanted.ends)

    def _read_events(self, plan: Plan) -> None:
        """As EventReader: once a minute."""
        now = self.now.timestamp()
        for each in plan.read_events:
            before = self.events_read.get((each.kind, each.name))
            if before is None or now - before.at >= INTERVAL:
                self.asked_events.append((each.kind, each.name))
                when = f"{self.now:%Y-%m-%dT%H:%M:%S.000000Z}"
                events = [
                    {"metadata": {}, "reason": reason, "note": note, "eventTime": when}
                    for reason, note in self.warnings.get((each.kind, each.name), ())
                ]
                self.events_read[each.kind, each.name] = EventsRead(each.uid, now, warnings_in(events, now))

    def create(self, manifest: Mapping[str, Any]) -> None:
        """POST; AlreadyExists is no error."""
        if (manifest["kind"], manifest["metadata"]["name"]) not in self.objects:
            self._count(manifest)
            self.put(manifest)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object, and collect the garbage."""
        self.objects.pop((kind, name), None)
        if kind == "Job":
            self.objects.pop(("Pod", name), None)
        self.collect()

    def collect(self) -> None:
        """What has only owners that are gone goes, too; references to an owner that is gone go from what has others."""
        uids = {each["metadata"]["uid"] for each in self.objects.values()}
        for (kind, name), each in list(self.objects.items()):
            if self.objects.get((kind, name)) is not each:
                continue
            owners = each["metadata"].get("ownerReferences") or []
            left = [owner for owner in owners if owner["uid"] in uids]
            if owners and not left:
                self.delete(kind, name)
            elif len(left) < len(owners):
                self.put(each | {"metadata": each["metadata"] | {"ownerReferences": left}})

    def step(self, name: str) -> bool:
        """One reconcile; whether it did anything."""
        snapshot = self.snapshot(name)
        if snapshot is None:
            return False
        plan = decide(snapshot, self.now)
        before = dict(self.engine_logs), dict(self.results), dict(self.events_read), dict(self.starts)
        self.execute(plan)
        read = before != (self.engine_logs, self.results, self.events_read, self.starts)
        return bool(plan.actions) or plan.status is not None or read

    def start_waiting(self) -> bool:
        """One reconcile of the namespace's Jobs with GPUs; whether one was started."""
        plan = decide_gpu_jobs(self.cache().gpu_jobs.of(NAMESPACE), self.platform.max_gpu_jobs)
        self.execute(plan)
        return bool(plan.actions)

    def act(self) -> bool:
        """The actor finishes every Job and every Deployment; whether there was anything to do."""
        acted = False
        for (kind, name), each in list(self.objects.items()):
            if kind == "Job" and not each["status"] and not each["spec"].get("suspend"):
                self.end_job(name) if self._given_up(each) else self.finish_job(name)
                acted = True
            if kind == "Deployment" and each["status"].get("observedGeneration") != each["metadata"]["generation"]:
                self.roll_out(name)
                acted = True
        return acted

    def settle(self, *names: str, after: Callable[[], None] = lambda: None) -> None:
        """Reconcile and act until nothing changes; `after` looks at every state on the way."""
        for _ in range(STEPS):
            moved = [self.step(name) for name in names]
            after()
            moved.append(self.act())
            after()
            self.now += timedelta(seconds=1)
            if not any(moved):
                return
        raise AssertionError(
            f"no fixpoint within {STEPS} steps: {[self.objects.get(('QuantizedModel', name)) for name in names]}"
        )

    def settle_waiting(self, *names: str, after: Callable[[], None] = lambda: None) -> None:
        """Settle, let two minutes pass, and settle again: what waits for a time goes on."""
        for _ in range(2):
            self.settle(*names, after=after)
            self.now += timedelta(minutes=2)

    def roll_out(self, name: str) -> None:
        """Every pod of the Deployment is new and ready."""
        each = self.objects["Deployment", name]
        count = each["spec"]["replicas"]
        status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
        self.put(each | {"status": status | {"observedGeneration": each["metadata"]["generation"]}})

    def add_pod(self, name: str, job: str, phase: str, statuses: list[dict[str, Any]]) -> None:
        """A pod of a Job."""
        self.put(
            {
                "apiVersion": "v1", "kind": "Pod", "spec": {},
                "metadata": {
                    "name": name, "labels": {"batch.kubernetes.io/job-name": job},
                    "ownerReferences": [job_controller(job, self.objects["Job", job]["metadata"]["uid"])],
                },
                "status": {"phase": phase, "containerStatuses": statuses},
            }
        )  # fmt: skip

    def finish_job(
        self, name: str, message: TerminationMessage | None = None, code: int = 0, reason: str = "",
        failure: str = "PodFailurePolicy", container: str = "worker",
    ) -> None:  # fmt: skip
        """The Job's pod ends; with the result that the stage would have, where nothing else is said.

        reason: of the end of `container`; failure: why the Job failed, where code is not 0.
        """
        job = self.objects["Job", name]
        stage = job["metadata"]["labels"]["lowbit.dev/stage"]
        lines: list[str] = []
        self.results.pop(name, None)  # it is another pod
        message = fitting(code, message or self.result(stage, name), lines.append)[1]
        if lines:
            self.worker_logs[name] = lines
        text = message.model_dump_json(by_alias=True, exclude_none=True)
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": text}
        statuses: list[dict[str, Any]] = [{"name": "worker", "state": {"terminated": ended}, "imageID": ""}]
        if stage == "evaluate":
            engine = {"terminated": {"exitCode": 0, "reason": "Completed"}}
            statuses.append({"name": "engine", "state": engine, "imageID": self.engine_image(name)})
        if reason:
            (ends,) = [each["state"]["terminated"] for each in statuses if each["name"] == container]
            ends["reason"] = reason
        self.add_pod(name, name, "Succeeded" if code == 0 else "Failed", statuses)
        when = f"{self.now:%Y-%m-%dT%H:%M:%SZ}"
        condition = {"type": "Complete" if code == 0 else "Failed", "status": "True", "lastTransitionTime": when,
                     "reason": "" if code == 0 else failure}  # fmt: skip
        self.put(job | {"status": {"conditions": [condition], "completionTime": when, "failed": int(code != 0)}})

    def _given_up(self, job: Mapping[str, Any]) -> bool:
        return GIVEN_UP_ANNOTATION in job["metadata"].get("annotations", {})

    def end_job(self, name: str) -> None:
        """The Job's deadline has passed: its pods are deleted, and it has failed."""
        for kind, pod in list(self.objects):
            labels = self.objects[kind, pod]["metadata"].get("labels") or {}
            if kind == "Pod" and labels.get("batch.kubernetes.io/job-name") == name:
                self.delete("Pod", pod)
        when = f"{self.now:%Y-%m-%dT%H:%M:%SZ}"
        failed = {"type": "Failed", "status": "True", "lastTransitionTime": when, "reason": "DeadlineExceeded"}
        self.put(self.objects["Job", name] | {"status": {"conditions": [failed]}})

    def result(self, stage: str, name: str, job: Mapping[str, Any] | None = None) -> TerminationMessage:
        """What a worker that succeeds would leave behind. job: the Job, where it is not among `objects`."""
        record = ArtifactRecord(digest="sha256:" + name[-1] * 64, bytes=100, source_bytes=283, ratio="2.83")
        if name.startswith("quantize-"):
            digest = "sha256:" + (name.removeprefix("quantize-")[:8] * 8)
            record = record.model_copy(update={"digest": digest})
            return TerminationMessage.of(QuantizeResult(artifact=record, seconds=1, peak_bytes=1))
        if stage == "ask":
            template = (job or self.objects["Job", name])["spec"]["template"]
            text = template["metadata"]["annotations"][DOCUMENT_ANNOTATION]
            asked = AskDocument.model_validate_json(text)
            answered = len(asked.showcase.prompts)
            shown = ServedShowcase(
                revision=asked.revision, key=asked.key, answered=answered, path="showcases/x", digest=DATASET
            )
            return TerminationMessage.of(AskResult(showcase=shown))
        if stage == "evaluate":
            self.evaluated += 1
            suites = [name.removeprefix(SUITE) for name in sorted(self.datasets) if name.startswith(SUITE)]
            summary = measured(self.kl(name) if name.startswith("eval-") else None, suites, self.also)
            if name.startswith("eval-"):
                summary = summary.model_copy(update={"measurements": [*summary.measurements, *self.rows]})
            if name.startswith("eval-") and self.counted is not None:
                summary = summary.model_copy(update={"attempt": self.counted})
            self.stored[first_attempt(name)] = summary
            return TerminationMessage.of(EvaluateResult(evaluation=first_attempt(name), summary=summary, seconds=1))
        prepared = PrepareResult(
            source=SOURCE, facts=FACTS, datasets=dict.fromkeys(sorted(self.datasets), DATASET), found=self.found,
            artifacts={str(index): "sha256:" + "e" * 64 for index in range(8)},
            artifact_bytes={str(index): 100 for index in range(8)}, found_evaluations=self.stored,
        )  # fmt: skip
        return TerminationMessage.of(prepared)

    def _count(self, manifest: Mapping[str, Any]) -> None:
        reference = (manifest["kind"], manifest["metadata"]["name"])
        if reference not in self.objects:
            self.created.append(reference)

    def _same(self, kind: str, name: str, uid: str, version: str) -> None:
        metadata = self.objects.get((kind, name), {}).get("metadata", {})
        if (metadata.get("uid"), metadata.get("resourceVersion")) != (uid, version):
            raise Stale(f"stale write to {kind} {name}")


def job_controller(job: str, uid: str) -> dict[str, Any]:
    """The owner reference that a Job's pods have."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid, "controller": True}


def replica_set(model: str) -> dict[str, Any]:
    """The owner reference that the serving pods of a model have."""
    name = f"{model}-5d8f7c"
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"uid-{name}", "controller": True}


def measured(
    kl: float | None, suites: Sequence[str] = ("fidelity",), also: Mapping[str, float] = MappingProxyType({})
) -> EvaluationSummary:
    """A summary; of an original where there is no KL divergence."""
    values = {"Perplexity": 3.063}
    if kl is not None:
        values |= {"KLDivergence": kl, "PerplexityRatio": 0.02, "Top1Agreement": 0.95, **also}
    return summary_of(*(row(metric, Estimate(value), suite) for suite in suites for metric, value in values.items()))


def spec(**changes: Any) -> dict[str, Any]:
    """A QuantizedModel with two candidates that is served."""
    return {
        "source": {"pvc": {"claimName": "source"}},
        "candidates": [{"gptq": {"bits": 4}}, {"gptq": {"bits": 8}}],
        "calibration": {"samples": 64, "datasets": [{"name": "general", "configMap": {"name": "general"}}]},
        "evaluation": {
            "suites": [
                {
                    "name": "fidelity", "fidelity": {"dataset": {"configMap": {"name": "holdout"}}},
                    "gate": {"maximum": [{"metric": "KLDivergence", "value": "0.15"}]},
                }
            ]
        },
        "serving": {"replicas": 2},
    } | changes  # fmt: skip


def spec_of_one(**changes: Any) -> dict[str, Any]:
    """With one candidate: a failure of it is not followed by another one."""
    return spec(candidates=[{"gptq": {"bits": 4, "groupSize": 64}}]) | changes
