"""An apply is made when, and only when, it would change something."""

from __future__ import annotations

from lowbit.decide.drift import drifted


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
