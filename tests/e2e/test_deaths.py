"""Whatever is killed, and whenever: the life completes, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hack.cluster.s3 import S3Server
from tests.e2e.deaths import (
    SYSTEM,
    kill_container,
    kill_operator,
    kill_worker_as_it_starts,
    operator_pods,
    running_container,
)
from tests.e2e.lab import Lab, condition, model_spec, suite
from tests.e2e.witness import Seen, done, stage, witness
from tests.engine.test_kernels import FAST, OURS

KILLS: tuple[tuple[str, str, str], ...] = (
    ("Quantizing", "worker", "lowbit.dev/stage=quantize"),
    ("EvaluatingBaseline", "engine", "lowbit.dev/stage=evaluate"),
    ("Evaluating", "worker", "lowbit.dev/stage=evaluate"),
    ("RollingOut", "engine", "app.kubernetes.io/component=serving"),
    ("Serving", "engine", "app.kubernetes.io/component=serving"),
)
"""Stage of the QuantizedModel, container, and the labels of its pod: what lasts long enough to be seen from outside."""

MEASURED = ("EvaluatingBaseline", "Evaluating")
"""Here the engine is killed while the evaluator measures: before that a new start of the engine would do."""


def passed_and_answers(lab: Lab, seen: Seen) -> None:
    status = lab.wait_ready("chat")
    assert status["verdict"]["verdict"] == "Passed"
    assert lab.ask("chat")
    assert not seen.served_unpassed
    assert not seen.twice()


def test_the_operator_killed_at_every_stage_completes_without_a_duplicate_job(
    bucket_lab: Lab, bucket: S3Server, models: dict[str, Path]
) -> None:
    """Source and store are a bucket here: serving fetches the artifact and verifies it. And int4 runs in Lowbit's
    kernel, on any CPU."""
    lab = bucket_lab
    source = lab.furnish_bucket(models["smollm2-2layers"], bucket)
    killed: list[str] = []

    def through_every_stage() -> bool:
        now = stage(lab, "chat")
        if now and now not in killed and operator_pods(lab.cluster):
            kill_operator(lab.cluster)
            killed.append(now)
        return done(lab, "chat") and "Serving" in killed

    with witness(lab) as seen:
        lab.apply_model("chat", source=source, engine=without_fast_kernel())
        lab.wait("chat went through every stage, and was served", through_every_stage)
        lab.cluster.kubectl("-n", SYSTEM, "rollout", "status", "deployment/lowbit", "--timeout=10m")
        passed_and_answers(lab, seen)
    print(f"the operator was killed while {', '.join(killed)}")
    assert {"Preparing", "Quantizing", "EvaluatingBaseline", "Evaluating", "RollingOut", "Serving"} <= set(killed)
    assert sorted(name.partition("-")[0] for name in seen.jobs) == ["baseline", "chat", "eval", "quantize"]
    assert lab.status("chat")["evaluation"]["kernels"] == [f"{OURS} for AutoGPTQLinearMethod"]


def without_fast_kernel() -> dict[str, Any]:
    """The engine with vLLM's int4 kernel for CPUs switched off."""
    engine: dict[str, Any] = model_spec()["engine"]
    engine["vllm"]["env"].append({"name": "VLLM_DISABLED_KERNELS", "value": FAST})
    return engine


def test_workers_and_engines_killed_at_every_stage_complete(lab: Lab) -> None:
    with witness(lab) as seen:
        lab.apply_model("chat")
        kill_worker_as_it_starts("chat-prepare-", 600)
        for when, container, selector in KILLS:
            kill_once(lab, when, container, selector)
        lab.wait("the death while serving is seen", lambda: not condition(lab.get("qm", "chat"), "Available"))
        assert "container engine of pod" in str(lab.status("chat")["conditions"])
        kill_once(lab, "RollingOut", "engine", KILLS[-1][2])
        assert lab.wait_stalled("chat")["lastFailure"]["reason"] == "EngineCrashLoop", "the third time"
        lab.wait("it comes up again", lambda: condition(lab.get("qm", "chat"), "Ready"))
        passed_and_answers(lab, seen)
    first = {name.removesuffix("-2") for name in seen.jobs}
    assert sorted(name.partition("-")[0] for name in first) == ["baseline", "chat", "eval", "quantize"]


def test_deleted_while_evaluating_leaves_nothing_but_the_store(lab: Lab) -> None:
    store = lab.cluster.paths.volumes / f"{lab.namespace}-models"
    lab.apply_model("chat", evaluation={"suites": [suite("4")], "speed": {"requests": 4}})
    lab.wait("an engine runs for the evaluation", lambda: bool(running_container(lab, "engine", KILLS[1][2])))
    lab.kubectl("delete", "quantizedmodel", "chat", "--wait=true")
    lab.wait_gone("chat")
    assert lab.get("modelstore", "default") is not None
    assert list((store / "artifacts").iterdir()), "what was made stays in the store"


def kill_once(lab: Lab, when: str, container: str, selector: str) -> None:
    """Kill the container while the QuantizedModel is in that stage."""

    def killed() -> bool:
        assert not done(lab, "chat") or when in ("RollingOut", "Serving"), (
            f"{when} was over before its {container} was killed"
        )
        if stage(lab, "chat") != when or (when in MEASURED and not running_container(lab, "worker", selector)):
            return False
        running = running_container(lab, container, selector)
        return running is not None and kill_container(running)

    lab.wait(f"the {container} is killed while {when}", killed)
    print(f"killed the {container} while {when}")
