"""The cache of what was seen."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.documents import ProgressLine
from lowbit.decide.reconcile import decide
from lowbit.naming.names import DOCUMENT_ANNOTATION
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from tests.unit.world import NAMESPACE, World, job_controller, replica_set, spec

CHAT, OTHER = Key("team", "chat"), Key("team", "other")


def thing(kind: str, name: str, version: int, *, uid: str | None = None, **more: Any) -> dict[str, Any]:
    """An object; labels and owners (names of QuantizedModels) may be given."""
    api = "lowbit.dev/v1alpha1" if kind in ("QuantizedModel", "ModelStore", "ModelRevision") else "v1"
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "team",
        "uid": uid or f"{kind}-{name}",
        "resourceVersion": str(version),
        "managedFields": [{"manager": "kubectl"}],
        "labels": more.pop("labels", {}),
        "ownerReferences": [
            {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "name": owner, "uid": owner}
            for owner in more.pop("owners", ())
        ]
        + more.pop("controlled_by", []),
    }
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def model(name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    dataset = {"configMap": {"name": "holdout"}}
    gate = {"maximum": [{"metric": "KLDivergence", "value": "0.1"}]}
    whole = {
        "source": {"pvc": {"claimName": "models"}},
        "candidates": [{"gptq": {"bits": 4}}],
        "evaluation": {"suites": [{"name": "fidelity", "fidelity": {"dataset": dataset}, "gate": gate}]},
    }
    return thing("QuantizedModel", name, version, spec=whole | spec)


def test_an_object_touches_its_models_by_label_and_by_owners() -> None:
    cache = Cache()
    assert cache.put(thing("Service", "chat", 1, labels={"lowbit.dev/quantizedmodel": "chat"})) == {CHAT}
    assert cache.put(thing("Job", "quantize-1", 2, owners=("chat", "other"))) == {CHAT, OTHER}
    assert cache.put(thing("Job", "quantize-1", 3, owners=("other",))) == {CHAT, OTHER}  # one has let go of it
    assert cache.put(thing("Job", "quantize-1", 4, owners=("other",))) == {OTHER}


def test_a_model_of_which_somebody_has_deleted_something_may_be_gone_itself() -> None:
    cache = Cache()
    cache.put(model("chat"))
    for name in ("quantize-1", "quantize-2"):
        cache.put(thing("Job", name, 2, owners=("chat",)))
        cache.put(thing("Pod", f"{name}-0", 3, labels={"job-name": name}))
    cache.remove(thing("Pod", "quantize-1-0", 4))  # we make no pods
    cache.remove(thing("Job", "quantize-1", 5), by_us=True)
    assert not cache.is_bereft(CHAT)
    cache.remove(thing("Job", "quantize-2", 6))
    assert cache.is_bereft(CHAT)
    cache.found(CHAT)
    assert not cache.is_bereft(CHAT)


def test_nothing_is_remembered_of_a_model_that_is_gone() -> None:
    cache = Cache()
    cache.put(model("chat"))
    cache.put(thing("Job", "quantize-1", 2, owners=("chat",)))
    cache.put(thing("Job", "quantize-2", 2, owners=("chat",)))
    cache.sync("Job", [thing("Job", "quantize-2", 2, owners=("chat",))], "3")
    assert cache.is_bereft(CHAT)
    cache.remove(model("chat"))
    assert not cache.is_bereft(CHAT)
    cache.remove(thing("Job", "quantize-2", 4, owners=("chat",)))
    assert not cache.is_bereft(CHAT)


def test_a_pod_touches_the_models_of_its_job() -> None:
    cache = Cache()
    cache.put(thing("Job", "quantize-1", 1, owners=("chat", "other")))
    assert cache.put(thing("Pod", "p", 2, labels={"job-name": "quantize-1"})) == {CHAT, OTHER}


def test_a_model_store_touches_every_model_of_its_namespace() -> None:
    cache = Cache()
    cache.put(model("chat"))
    cache.put(model("other"))
    assert cache.put(thing("ModelStore", "default", 2, spec={})) == {CHAT, OTHER, Key("team", "default", "ModelStore")}


def test_what_is_older_than_what_is_known_changes_nothing() -> None:
    cache = Cache()
    cache.put(thing("Service", "chat", 9, labels={"lowbit.dev/quantizedmodel": "chat"}, spec={"a": 1}))
    assert cache.put(thing("Service", "chat", 9)) == frozenset()
    assert cache.put(thing("Service", "chat", 8)) == frozenset()
    seen = cache.get("Service", "team", "chat")
    assert seen is not None and seen["spec"] == {"a": 1}


def test_a_late_event_brings_no_removed_object_back() -> None:
    cache = Cache()
    service = thing("Service", "chat", 1, uid="first")
    cache.put(service)
    cache.remove(service)
    cache.put(thing("Service", "chat", 5, uid="first"))
    assert cache.get("Service", "team", "chat") is None
    cache.put(thing("Service", "chat", 6, uid="second"))
    cache.remove(service)
    assert cache.get("Service", "team", "chat") is not None


def test_a_list_finds_what_the_watches_missed() -> None:
    cache = Cache()
    kept, gone = thing("Job", "kept", 1, owners=("chat",)), thing("Job", "gone", 2, owners=("other",))
    newer = thing("Job", "made-after-the-list", 50, owners=("chat",))
    for each in (kept, gone, newer):
        cache.put(each)
    difference = cache.sync("Job", [kept], "40")
    assert difference.keys == {OTHER}
    assert [name for _, _, name in difference.objects] == ["gone"]
    assert cache.get("Job", "team", "made-after-the-list") is not None


def test_a_list_of_one_namespace_says_nothing_about_the_others() -> None:
    cache = Cache()
    cache.put(thing("Job", "kept", 1))
    assert cache.sync("Job", [], "40", "elsewhere").objects == ()
    assert cache.get("Job", "team", "kept") is not None


def test_only_the_fields_that_are_read_are_kept() -> None:
    cache = Cache()
    worker = thing(
        "Pod", "p", 1, spec={"containers": []}, status={"phase": "Running", "podIP": "10.0.0.1", "hostIP": "10.0.0.2"}
    )
    worker["metadata"]["annotations"] = {DOCUMENT_ANNOTATION: "x" * 10_000}
    cache.put(worker)
    template = {"metadata": {"annotations": {DOCUMENT_ANNOTATION: "x" * 10_000}}}
    cache.put(thing("Job", "j", 3, spec={"ttlSecondsAfterFinished": 60, "template": template}))
    cache.put(thing("ConfigMap", "guard", 2, immutable=True, data={"envoy.yaml": "x" * 10_000}))
    pod, config_map = cache.get("Pod", "team", "p"), cache.get("ConfigMap", "team", "guard")
    job = cache.get("Job", "team", "j")
    assert job is not None and job["spec"] == {"ttlSecondsAfterFinished": 60}
    assert pod is not None and "annotations" not in pod["metadata"]
    assert pod is not None and "spec" not in pod and pod["status"] == {"phase": "Running", "podIP": "10.0.0.1"}
    assert "managedFields" not in pod["metadata"]
    assert config_map is not None and "data" not in config_map


def test_a_snapshot_holds_all_that_belongs_to_a_model_and_nothing_of_others() -> None:
    cache = Cache()
    mine = {"lowbit.dev/quantizedmodel": "chat"}
    for each in (
        model("chat"),
        model("other", 2),
        thing("ModelStore", "default", 3, spec={"s3": {"bucket": "models"}}),
        thing("Deployment", "chat", 4, labels=mine, status={"readyReplicas": 2}),
        thing("Service", "chat", 5, labels=mine),
        thing("Service", "other", 6, labels={"lowbit.dev/quantizedmodel": "other"}),
        thing("Pod", "chat-1", 7, labels=mine, controlled_by=[replica_set("chat")]),
        thing("Pod", "chat-2", 7, labels=mine),
        thing(
            "Pod",
            "prepare-1",
            8,
            labels=mine | {"job-name": "chat-prepare"},
            controlled_by=[job_controller("chat-prepare", "Job-chat-prepare")],
        ),
        thing("Pod", "prepare-2", 8, labels=mine | {"job-name": "chat-prepare"}),
        thing("Job", "chat-prepare", 9, owners=("chat",)),
    ):
        cache.put(each)
    snapshot = cache.snapshot(CHAT)
    assert snapshot is not None and snapshot.invalid is None
    assert snapshot.store is not None and snapshot.deployment is not None
    assert snapshot.deployment.ready == 2
    assert set(snapshot.children) == {("Deployment", "chat"), ("Service", "chat")}
    assert [pod.meta.name for pod in snapshot.pods] == ["chat-1"]
    assert [pod.meta.name for pod in snapshot.jobs["chat-prepare"].pods] == ["prepare-1"]
    assert cache.snapshot(Key("team", "absent")) is None


def test_a_spec_that_cannot_be_read_says_where() -> None:
    cache = Cache()
    cache.put(model("chat", wormhole=True))
    snapshot = cache.snapshot(CHAT)
    assert snapshot is not None and snapshot.invalid is not None
    assert "spec.wormhole" in snapshot.invalid


def test_a_revision_that_cannot_be_read_stops_its_own_model_only() -> None:
    cache = Cache()
    cache.put(model("chat"))
    cache.put(model("other", 2))
    cache.put(thing("ModelRevision", "chat-1", 3, owners=("chat",), spec={"newer": True}))
    ours, others = cache.snapshot(CHAT), cache.snapshot(OTHER)
    assert ours is not None and ours.invalid is not None and "ModelRevision chat-1" in ours.invalid
    assert others is not None and others.invalid is None


def test_progress_touches_a_model_only_when_it_has_moved() -> None:
    cache = Cache()
    cache.put(model("chat"))
    cache.put(thing("Job", "chat-prepare", 2, owners=("chat",)))
    line = ProgressLine(stage="prepare", percent=10, message="copying", time=1.0)
    assert cache.put_progress("team", "chat-prepare", line, 100.0) == {CHAT}
    assert cache.put_progress("team", "chat-prepare", line, 130.0) == frozenset()
    snapshot = cache.snapshot(CHAT)
    assert snapshot is not None
    assert snapshot.jobs["chat-prepare"].progress == line
    assert snapshot.jobs["chat-prepare"].progress_read_at == 130.0
    assert cache.put_progress("team", "absent", line, 1.0) == frozenset()


OBJECTS = st.builds(
    lambda kind, name, version, owners: thing(kind, name, version, owners=owners, spec={}),
    st.sampled_from(["Job", "Service", "Pod"]),
    st.sampled_from("abc"),
    st.integers(1, 50),
    st.sets(st.sampled_from(["chat", "other"])).map(tuple),
)


@given(st.lists(st.tuples(st.booleans(), OBJECTS)))
def test_the_indexes_agree_with_the_objects(steps: list[tuple[bool, dict[str, Any]]]) -> None:
    cache = Cache()
    cache.put(model("chat", 99))
    for number, (keep, each) in enumerate(steps):
        each["metadata"]["uid"] += str(number // 5)
        if keep:
            cache.put(each)
        else:
            cache.remove(each)
    expected = {
        (kind, name)
        for kind in ("Job", "Service", "Pod")
        for name in "abc"
        if (held := cache.get(kind, "team", name)) is not None
        and any(owner["name"] == "chat" for owner in held["metadata"]["ownerReferences"])
    }
    assert set(cache.members(CHAT)) - {("QuantizedModel", "chat")} == expected


def test_what_is_kept_compressed_reads_as_it_was() -> None:
    whole, packed = Cache(), Cache(whole=1)
    things = [model("chat"), *(thing("Service", f"s-{n}", n, spec={"ports": [n], "é": None}) for n in range(2, 9))]
    for each in things:
        assert whole.put(each) == packed.put(each)
    whole.rest(CHAT)
    for each in things:
        place = (each["kind"], "team", each["metadata"]["name"])
        assert packed.get(*place) == whole.get(*place)
    assert packed.view("QuantizedModel", "team", "chat") == whole.view("QuantizedModel", "team", "chat")


def test_a_decision_is_the_same_however_little_is_kept_whole() -> None:
    world = World()
    world.add_store()
    for name in ("chat", "other"):
        world.apply_model(name, spec())

    def same() -> None:
        for name in ("chat", "other"):
            plans = []
            for cache in (Cache(), Cache(whole=3)):
                for manifest in world.objects.values():
                    cache.put(manifest)
                snapshot = cache.snapshot(Key(NAMESPACE, name))
                assert snapshot is not None
                plans.append(decide(snapshot, world.now))
            assert plans[0] == plans[1]

    world.settle("chat", "other", after=same)
