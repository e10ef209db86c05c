"""An apply is made when, and only when, it would change something."""

from __future__ import annotations

from lowbit.decide.reconcile import decide
from lowbit.decide.serving.drift import drifted
from lowbit.state.plan import Apply
from tests.unit.world import World, spec


def test_what_others_have_added_is_theirs() -> None:
    observed = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 2, "defaulted": True}}
    assert not drifted({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 2}}, observed)


def test_a_changed_field_is_drift() -> None:
    assert drifted({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}})


def test_one_volume_mounted_twice_is_no_drift() -> None:
    mounts = [{"name": "store", "mountPath": "/a"}, {"name": "store", "mountPath": "/b", "readOnly": True}]
    assert not drifted({"volumeMounts": mounts}, {"volumeMounts": list(mounts)})


def test_two_ways_to_write_a_quantity_are_no_drift() -> None:
    assert not drifted({"cpu": "1000m", "memory": "1024Mi"}, {"cpu": "1", "memory": "1Gi"})


def test_an_environment_variable_that_is_missing_is_drift() -> None:
    assert drifted(
        {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, {"env": [{"name": "A", "value": "1"}]}
    )


def test_an_owner_of_the_same_name_that_others_have_added_is_no_drift() -> None:
    mine = {"kind": "QuantizedModel", "name": "chat", "uid": "1"}
    assert not drifted({"ownerReferences": [mine]}, {"ownerReferences": [mine, mine | {"uid": "2"}]})
    assert drifted({"ownerReferences": [mine]}, {"ownerReferences": [mine | {"uid": "2"}]})


def test_what_is_declared_no_more_is_taken_away() -> None:
    """Else a node selector that somebody has removed would stay for ever, and the status would say that all is done."""
    world = World()
    world.add_store()
    for selector in ({"pool": "gpu", "zone": "a"}, {"pool": "gpu"}):
        world.apply_model("chat", spec(serving={"replicas": 2, "pod": {"nodeSelector": selector}}))
        snapshot = world.snapshot("chat")
        if selector == {"pool": "gpu"}:
            assert snapshot is not None
            (action,) = decide(snapshot, world.now).actions
            assert isinstance(action, Apply)
            assert action.manifest["spec"]["template"]["spec"]["nodeSelector"] == selector
        world.settle("chat")
    snapshot = world.snapshot("chat")
    assert snapshot is not None
    assert decide(snapshot, world.now).actions == ()
