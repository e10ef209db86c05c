"""A newer Lowbit starts no Job, restarts no engine and writes nothing: shown on the corpus of each version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lowbit.api.platform import Platform
from lowbit.decide.reconcile import decide
from lowbit.decide.store import Claim, decide_store
from lowbit.observe.cache import Cache
from lowbit.observe.keys import Key
from lowbit.state.plan import Plan
from tests.api import corpus

FILES = corpus.versions()
CLAIM = Claim("Pending", ("ReadWriteMany",))
"""The one claim of a corpus; no volume was ever bound to it."""


def newest(manifests: list[dict[str, Any]]) -> datetime:
    """When the corpus was made."""
    times = [each["metadata"]["creationTimestamp"] for each in manifests]
    return datetime.fromisoformat(max(times)).astimezone(UTC)


def seen(file: Path, platform: Platform) -> tuple[Cache, datetime]:
    """The cache of an operator with these settings that has seen everything, an hour later."""
    manifests = corpus.read(file)
    cache = Cache(platform)
    cache.has_pod_monitors = True
    for manifest in manifests:
        if manifest["kind"] != "PersistentVolumeClaim":
            cache.put(manifest)
    return cache, newest(manifests) + timedelta(hours=1)


def plans(file: Path, **platform: Any) -> Mapping[str, Plan]:
    """What would be done to each model and each store."""
    cache, now = seen(file, Platform.model_validate(platform))
    found: dict[str, Plan] = {}
    for key in sorted(cache.keys()):
        if key.kind == "ModelStore":
            held = cache.view("ModelStore", key.namespace, key.name)
            found[f"store {key.name}"] = decide_store(held, CLAIM if held.body.spec.pvc else None, now)
        else:
            snapshot = cache.snapshot(Key(key.namespace, key.name))
            assert snapshot is not None and snapshot.invalid is None, snapshot and snapshot.invalid
            found[key.name] = decide(snapshot, now)
    return found


def writes(found: Mapping[str, Plan]) -> dict[str, Plan]:
    """The plans that write something, by what they are about."""
    return {name: plan for name, plan in found.items() if plan.actions or plan.status}


def test_there_is_a_corpus_with_models_at_every_end() -> None:
    assert FILES
    for file in FILES:
        stages = {
            each["metadata"]["name"]: each["status"]["stage"]
            for each in corpus.read(file)
            if each["kind"] == "QuantizedModel"
        }
        assert stages == corpus.ENDS


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_restart_writes_nothing(file: Path) -> None:
    assert writes(plans(file)) == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_upgrade_with_other_images_writes_nothing(file: Path) -> None:
    assert writes(plans(file, **corpus.changed_platform())) == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engineEnv", {"VLLM_LOGGING_LEVEL": "INFO", "NEW": "1"}),
        ("hubEndpoint", "https://mirror.example"),
        ("proxy", "http://proxy.example:3128"),
        ("noProxy", ".svc"),
        ("priorityClassName", "batch"),
        ("imagePullPolicy", "Always"),
        ("gpuResource", "amd.com/gpu"),
        ("caBundleConfigMap", "bundle"),
        ("runAsUser", 1234),
        ("jobPodLabels", {"team": "ml"}),
        ("containers", {"engine": {"limits": {"memory": "1Gi"}}, "guard": {}, "fetch": {}}),
    ],
)
def test_a_changed_platform_restarts_nothing(file: Path, field: str, value: object) -> None:
    assert writes(plans(file, **{field: value})) == {}
