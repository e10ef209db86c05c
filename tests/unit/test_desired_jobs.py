"""The Jobs of each stage."""

from __future__ import annotations

import json
import logging.config
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbit.api.documents import (
    EXIT_CRASHED,
    EXIT_LATER,
    EXIT_REFUSED,
    EvaluateDocument,
    FetchDocument,
    PrepareDocument,
    QuantizeDocument,
)
from lowbit.api.engine import EnvironmentVariable
from lowbit.api.engines import resolved_engine
from lowbit.api.engines.vllm import LOGGING_SETTINGS
from lowbit.api.modelevaluation import ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.paths import DOCUMENT_PATH, ENGINE_LOG_PATH, ENGINE_LOGGING_PATH
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import ResolvedRecipe
from lowbit.desired.common import Manifest
from lowbit.desired.evaluation import evaluation
from lowbit.desired.jobs.document import DocumentTooLarge, document_text
from lowbit.desired.jobs.prepare import input_mounts
from lowbit.desired.jobs.quantize import quantize_job
from lowbit.desired.revision import revision
from lowbit.naming.names import (
    DOCUMENT_ANNOTATION,
    LOGGING_ANNOTATION,
    MODEL_LABEL,
    STAGE_LABEL,
    evaluation_name,
    input_hash,
    revision_name,
)
from lowbit.resolve.freeze import candidate_spec, freeze
from tests.unit import desired_inputs as inputs


def mounts(container: Manifest) -> dict[str, Manifest]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def test_prepare_finds_its_own_input_in_the_document() -> None:
    job = inputs.prepare()
    document = PrepareDocument.model_validate_json(inputs.document(job))
    assert input_hash(document.spec) == input_hash(inputs.spec())
    frozen = freeze(document.name, document.spec, document.platform, inputs.prepared())
    assert frozen == freeze(inputs.NAME, inputs.spec(), inputs.PLATFORM, inputs.prepared())
    assert job["metadata"]["labels"][MODEL_LABEL] == inputs.NAME
    assert job["metadata"]["ownerReferences"][0]["controller"] is True


def test_prepare_sees_the_token_of_a_dataset_on_the_hub() -> None:
    place = {"repo": "org/data", "revision": "0" * 40, "tokenSecretRef": {"name": "hub-data", "key": "token"}}
    manifest = inputs.spec().wire()
    manifest["calibration"] = {"datasets": [{"name": "a", "huggingFace": place}]}
    mounts = input_mounts(QuantizedModelSpec.model_validate(manifest), inputs.PVC)
    assert {"secretName": "hub-data", "items": [{"key": "token", "path": "token"}]} in [
        {key: secret[key] for key in ("secretName", "items")}
        for secret in (mount.source.get("secret") for mount in mounts)
        if secret and "items" in secret
    ]


def test_prepare_sees_every_place_that_the_manifest_names() -> None:
    worker = inputs.container(inputs.prepare(inputs.S3), "worker")
    assert set(mounts(worker)) >= {
        "/lowbit/volumes/data",
        "/lowbit/volumes/models",
        "/lowbit/configmaps/general",
        "/lowbit/secrets/hub",
        "/lowbit/secrets/s3",
        "/lowbit/secrets/s3-data",
        DOCUMENT_PATH.rpartition("/")[0],
    }
    assert all(mount.get("readOnly") for path, mount in mounts(worker).items() if path.startswith("/lowbit/volumes"))


def test_prepare_sees_only_the_named_key_of_a_token_secret() -> None:
    volumes = inputs.pod_template(inputs.prepare())["spec"]["volumes"]
    (token,) = [volume["secret"] for volume in volumes if volume["name"] == "secret-hub"]
    assert token["items"] == [{"key": "token", "path": "token"}]


def test_a_store_that_is_also_a_source_is_one_volume_with_a_read_only_second_mount() -> None:
    worker = inputs.container(inputs.prepare(inputs.PVC), "worker")
    store, data = mounts(worker)["/lowbit/store"], mounts(worker)["/lowbit/volumes/models"]
    assert store["name"] == data["name"]
    assert "readOnly" not in store
    assert data["readOnly"] is True


def test_prepare_goes_through_the_platforms_mirror_proxy_and_certificates_and_never_asks_for_a_gpu() -> None:
    worker = inputs.container(inputs.prepare(), "worker")
    env = {variable["name"]: variable["value"] for variable in worker["env"]}
    assert env["HF_ENDPOINT"] == "http://mirror/hub"
    assert env["HTTPS_PROXY"] == env["https_proxy"] == "http://proxy:3128"
    assert env["SSL_CERT_FILE"] == "/lowbit/ca/ca.crt"
    assert "gpu" not in str(worker["resources"])


def test_a_lasting_reason_and_a_lack_of_memory_end_a_job_and_a_lost_node_costs_nothing() -> None:
    for job in (inputs.prepare(), inputs.quantize(), inputs.evaluate()):
        disruption, refused, killed = job["spec"]["podFailurePolicy"]["rules"]
        assert disruption["action"] == "Ignore"
        assert refused["onExitCodes"]["values"] == [EXIT_REFUSED, EXIT_CRASHED, EXIT_LATER]
        assert "containerName" not in refused["onExitCodes"], "fetch may refuse, too"
        assert killed["onExitCodes"]["containerName"] == "worker"
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_quantize_is_owned_by_all_who_need_it_and_named_by_its_artifact() -> None:
    job = inputs.quantize()
    document = QuantizeDocument.model_validate_json(inputs.document(job))
    assert job["metadata"]["name"] == f"quantize-{document.artifact_hash[:10]}"
    assert len(job["metadata"]["ownerReferences"]) == 2
    assert MODEL_LABEL not in job["metadata"]["labels"]
    assert job["spec"]["template"]["metadata"]["labels"][STAGE_LABEL] == "quantize"
    worker = inputs.container(job, "worker")
    limits = worker["resources"]["limits"]
    assert (limits["memory"], limits["nvidia.com/gpu"]) == ("16Gi", "1")


def test_a_second_attempt_has_its_own_name_and_more_memory() -> None:
    job = inputs.quantize(memory_limit="32Gi", name="quantize-x-more-memory")
    assert job["metadata"]["name"] == "quantize-x-more-memory"
    needs = inputs.container(job, "worker")["resources"]
    assert needs["limits"]["memory"] == needs["requests"]["memory"] == "32Gi"


def test_what_was_made_elsewhere_is_not_quantized() -> None:
    elsewhere = ResolvedRecipe.model_validate({"artifact": {"digest": inputs.ARTIFACT}})
    frozen = inputs.revision_spec().model_copy(update={"recipe": elsewhere})
    asked = inputs.run("quantize-x", inputs.spec().jobs.quantize)
    with pytest.raises(ValueError, match="nothing is quantized for the recipe artifact"):
        quantize_job(inputs.context(inputs.PVC), [], frozen, "GPU", asked)


def test_evaluate_verifies_the_model_before_its_engine_starts() -> None:
    job = inputs.evaluate()
    init = job["spec"]["template"]["spec"]["initContainers"]
    assert [container["name"] for container in init] == ["fetch", "engine"]
    assert "restartPolicy" not in init[0]
    assert init[1]["restartPolicy"] == "Always"
    fetched = FetchDocument.model_validate_json(inputs.document(job, "fetch"))
    measured = EvaluateDocument.model_validate_json(inputs.document(job))
    assert fetched.model == measured.model
    assert fetched.model.digest == inputs.ARTIFACT


def test_the_engine_reads_its_model_where_the_store_has_it() -> None:
    engine = inputs.container(inputs.evaluate(inputs.PVC), "engine")
    model = mounts(engine)["/lowbit/model"]
    assert model["subPath"] == "lowbit/store/artifacts/" + "a" * 64
    assert model["readOnly"] is True
    fetch = inputs.container(inputs.evaluate(inputs.PVC), "fetch")
    assert mounts(fetch)["/lowbit/model"] == model, "what is verified is what is read"
    baseline = mounts(inputs.container(inputs.evaluate(inputs.PVC, baseline=True), "engine"))
    assert baseline["/lowbit/model"]["subPath"] == "lowbit/store/sources/" + "b" * 64


def test_the_engine_that_is_measured_writes_its_log_where_the_evaluator_reads_it() -> None:
    job = inputs.evaluate()
    configuration = json.loads(job["spec"]["template"]["metadata"]["annotations"][LOGGING_ANNOTATION])
    logging.config.dictConfig(configuration | {"loggers": {}, "handlers": {}})  # Python takes it
    assert configuration["handlers"]["file"]["filename"] == ENGINE_LOG_PATH
    folder = str(Path(ENGINE_LOG_PATH).parent)
    written, read = (mounts(inputs.container(job, name))[folder] for name in ("engine", "worker"))
    assert written["name"] == read["name"]
    assert "readOnly" not in written and read["readOnly"] is True
    assert mounts(inputs.container(job, "engine"))[str(Path(ENGINE_LOGGING_PATH).parent)]["readOnly"] is True


@pytest.mark.parametrize("name", LOGGING_SETTINGS)
def test_who_sets_up_the_engines_log_in_the_manifest_has_the_word(name: str) -> None:
    kind, settings = resolved_engine(inputs.revision_spec().engine)
    own = settings.model_copy(update={"env": [EnvironmentVariable(name=name, value="0")]})
    assert kind.measuring(settings).environment == {LOGGING_SETTINGS[0]: ENGINE_LOGGING_PATH}
    assert kind.measuring(own).environment == {}


def test_from_a_bucket_fetch_fills_the_folder_that_the_engine_may_only_read() -> None:
    job = inputs.evaluate(inputs.S3)
    fetch, engine = inputs.container(job, "fetch"), inputs.container(job, "engine")
    assert "readOnly" not in mounts(fetch)["/lowbit/model"]
    assert mounts(engine)["/lowbit/model"]["readOnly"] is True
    assert not [path for path in mounts(engine) if path.startswith(("/lowbit/secrets", "/lowbit/store"))]


def test_only_an_artifacts_evaluation_names_its_quantize_report() -> None:
    documents = [
        EvaluateDocument.model_validate_json(inputs.document(inputs.evaluate(baseline=baseline)))
        for baseline in (True, False)
    ]
    assert documents[0].artifact_hash is None
    assert documents[0].baseline is None
    assert documents[1].artifact_hash == inputs.revision_spec().artifact_hash
    assert documents[1].baseline == documents[0].evaluation


def test_the_report_is_told_all_that_tells_a_candidate_from_the_others() -> None:
    candidates = [{"gptq": {"bits": 4}, "engine": {"args": ["--kv-cache-dtype=fp8"]}}]
    document = EvaluateDocument.model_validate_json(
        inputs.document(inputs.evaluate(model=inputs.spec(candidates=candidates)))
    )
    assert document.reported is not None
    assert document.reported.label == "gptq-int4-g128 with --kv-cache-dtype=fp8"


def test_what_is_frozen_reads_back_as_it_was_written() -> None:
    frozen = inputs.revision_spec(inputs.spec(engine={"vllm": {}}))
    written = revision(inputs.NAMESPACE, inputs.OWNER, frozen)
    assert ModelRevisionSpec.model_validate(written["spec"]) == frozen
    asked = candidate_spec(frozen, inputs.ARTIFACT)
    shared = evaluation(inputs.NAMESPACE, [inputs.SHARER], asked)
    assert ModelEvaluationSpec.model_validate(shared["spec"]) == asked
    assert shared["metadata"]["name"] == evaluation_name(asked)
    assert written["metadata"]["name"] == revision_name(frozen)


def test_a_job_needs_no_object_that_goes_away_with_one_of_its_owners() -> None:
    for job in (inputs.prepare(), inputs.quantize(), inputs.evaluate()):
        assert job["kind"] == "Job"
        maps = {v["configMap"]["name"] for v in inputs.pod_template(job)["spec"]["volumes"] if "configMap" in v}
        assert maps <= {"general", "bundle"}, "only what the user and the platform keep"


def test_the_manifests_own_annotations_stay_and_never_replace_the_document() -> None:
    model = inputs.spec(jobs={"prepare": {"annotations": {"team": "chat", DOCUMENT_ANNOTATION: "{}"}}})
    job = inputs.prepare(model=model)
    assert inputs.pod_template(job)["metadata"]["annotations"]["team"] == "chat"
    assert PrepareDocument.model_validate_json(inputs.document(job)).name == inputs.NAME


def test_a_document_names_secrets_and_holds_none() -> None:
    platform = inputs.PLATFORM.model_copy(update={"proxy": "http://user:hunter2@proxy:3128"})
    secret = [{"name": "TOKEN", "value": "hunter2"}]
    model = inputs.spec(
        jobs={"prepare": {"env": secret}, "evaluate": {"env": secret}}, serving={"pod": {"env": secret}}
    )
    job = inputs.prepare(inputs.S3, model=model, platform=platform)
    assert "hunter2" not in inputs.document(job)
    assert '"tokenSecretRef":{"key":"token","name":"hub"}' in inputs.document(job)


def test_a_document_that_no_pod_can_carry_is_refused() -> None:
    env = [{"name": f"LONG_{number}", "value": "x" * 4096} for number in range(64)]
    model = inputs.spec(engine={"vllm": {"env": env}})
    with pytest.raises(DocumentTooLarge, match=r"Job support-chat-prepare-.* KiB, and a pod can carry 200 KiB"):
        inputs.prepare(model=model)


def test_a_newer_types_new_field_changes_no_document() -> None:
    class NewerFetch(FetchDocument):
        verify: str = "All"

    fetch = FetchDocument.model_validate_json(inputs.document(inputs.evaluate(), "fetch"))
    newer = NewerFetch(store=fetch.store, model=fetch.model)
    assert document_text(newer) == document_text(fetch)


@pytest.mark.parametrize("make", [inputs.prepare, inputs.quantize, inputs.evaluate])
def test_the_pods_of_jobs_stay_out_of_a_mesh(make: Callable[[], Manifest]) -> None:
    metadata = inputs.pod_template(make())["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["linkerd.io/inject"] == "disabled"
    assert STAGE_LABEL in metadata["labels"], "Lowbit's own labels are there too"


def test_a_manifest_can_let_the_mesh_in_and_a_platform_can_ask_for_something_else() -> None:
    model = inputs.spec(jobs={"prepare": {"annotations": {"linkerd.io/inject": "enabled"}}})
    pod = inputs.pod_template(inputs.prepare(model=model))["metadata"]
    assert pod["annotations"]["linkerd.io/inject"] == "enabled"
    platform = inputs.PLATFORM.model_copy(update={"job_pod_annotations": {}, "job_pod_labels": {"team": "ml"}})
    pod = inputs.pod_template(inputs.prepare(platform=platform))["metadata"]
    assert pod["labels"]["team"] == "ml"
    assert "linkerd.io/inject" not in pod["annotations"]


@pytest.mark.parametrize("make", [inputs.prepare, inputs.quantize, inputs.evaluate])
def test_what_a_container_of_a_job_said_last_is_in_its_status(make: Callable[[], Manifest]) -> None:
    pod = inputs.pod_template(make())["spec"]
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", container["name"]
