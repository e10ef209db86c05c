"""What the quantizer only logs is judged, and what goes into the store is tidy. The quantizer itself is played here."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.calibration import ResolvedCalibration, ResolvedDataset
from lowbit.api.documents import PVCStoreAccess, QuantizeDocument, StoreAccess
from lowbit.api.recipes import RECIPES, ResolvedRecipe
from lowbit.api.recipes.gptq import ResolvedGPTQ
from lowbit.naming.store_keys import artifact_index_key, quant_log_key
from lowbit.worker import backends
from lowbit.worker import quantize as stage
from lowbit.worker.backends import BACKENDS, Work, tools
from lowbit.worker.backends.awq import BLOCK_TOKENS, BLOCKS, AWQBackend
from lowbit.worker.backends.base import Advance, Backend
from lowbit.worker.backends.gptq import GPTQBackend
from lowbit.worker.backends.gptqmodel import asked
from lowbit.worker.backends.losses import ModuleLoss, rounded_experts, worst
from lowbit.worker.data.calibration import Calibrated
from lowbit.worker.model.artifact_files import finish
from lowbit.worker.model.file_list import scan
from lowbit.worker.model.inspect_model import inspect
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs

ARTIFACT_HASH = "c" * 64
GPTQ64 = ResolvedGPTQ(bits=4, group_size=64, desc_act=False, sym=True, damp_percent="0.01")
judge = GPTQBackend().judge
QUANTIZED = {"model.layers.0.mlp.up_proj.qweight": ("I32", [4, 4], 64), "model.norm.weight": ("BF16", [4], 8)}


def row(layer: int = 0, module: str = "mlp.up_proj", **changes: Any) -> dict[str, Any]:
    """As gptqmodel 7.6.0 returns it."""
    return {
        "layer": layer,
        "module": module,
        "loss": "0.0000757136",
        "samples": "918",
        "damp": "0.01000",
        "time": "0.421",
    } | changes


def test_good_rows_become_losses_and_the_worst_is_found() -> None:
    modules = judge([row(), row(1), row(1, "mlp.down_proj", loss="0.5")], layers=2)
    assert [module.name for module in modules] == [
        "layers.0.mlp.up_proj",
        "layers.1.mlp.up_proj",
        "layers.1.mlp.down_proj",
    ]
    most = worst(modules)
    assert most is not None and most.name == "layers.1.mlp.down_proj"
    assert modules[0].samples == 918
    assert modules[0].seconds == 0.421


@pytest.mark.parametrize("time", ["", "soon", "nan", "-1", None])
def test_a_time_that_cannot_be_read_refuses_no_model(time: Any) -> None:
    assert judge([row(time=time)], layers=1)[0].seconds is None


@pytest.mark.parametrize(
    "bad",
    [
        {"loss": "nan"},
        {"loss": "inf"},
        {"loss": "-1"},
        {"loss": "999999999.0000000000"},
        {"loss": "fallback(rtn): 0.0123"},
        {"loss": "rtn fallback"},
        {"loss": None},
        {"damp": "1.00000"},
        {"damp": "nan"},
        {"damp": ""},
    ],
)
def test_a_module_that_gptq_could_not_quantize_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(RefusalError) as error:
        judge([row(), row(1, "self_attn.o_proj", **bad)], layers=2)
    assert error.value.refusal.reason == "QuantizationFailed"
    assert "layers.1.self_attn.o_proj" in error.value.refusal.message
    assert "layers.0" not in error.value.refusal.message


def expert(number: int, **changes: Any) -> dict[str, Any]:
    return row(0, f"mlp.experts.{number}.down_proj", **changes)


ROUNDED = {"loss": "fallback(rtn): 0.0123", "damp": ""}


def test_a_rare_expert_that_was_rounded_does_not_refuse_the_model_and_is_named() -> None:
    rows = [row(), *map(expert, range(127)), expert(127, **ROUNDED)]
    modules = judge(rows, layers=1, tolerated=0.01)
    assert rounded_experts(modules) == (1, 128)
    assert [module.name for module in modules if module.rounded] == ["layers.0.mlp.experts.127.down_proj"]


@pytest.mark.parametrize("tolerated", [0.0, 0.01, 0.015])
def test_more_rounded_experts_than_are_tolerated_refuse_the_model_with_their_number(tolerated: float) -> None:
    rows = [row(), *map(expert, range(126)), expert(126, **ROUNDED), expert(127, **ROUNDED)]
    with pytest.raises(RefusalError, match="2 of 128 experts were rounded to nearest") as error:
        judge(rows, layers=1, tolerated=tolerated)
    assert "maxRoundedExperts" in error.value.refusal.action


def test_a_module_of_every_token_may_not_be_rounded_however_many_experts_may() -> None:
    with pytest.raises(RefusalError, match=r"layers\.0\.mlp\.shared_expert\.up_proj"):
        judge([expert(1), row(0, "mlp.shared_expert.up_proj", **ROUNDED)], layers=1, tolerated=1.0)


def test_a_layer_that_was_left_out_is_refused() -> None:
    with pytest.raises(RefusalError, match="layers 1 were not quantized"):
        judge([row(0)], layers=2)


def write_artifact(folder: Path, tensors: dict[str, tuple[str, list[int], int]] | None = None) -> Path:
    """What gptqmodel leaves behind, with its habits."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"offload_to_disk_path": "/tmp/offload-xyz", "damp_percent": 0.01}
    quantization = {"bits": 4, "quant_method": "gptq", "meta": meta}
    config = inputs.CONFIG | {"quantization_config": quantization, "_name_or_path": "/lowbit/store/sources/abc"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "quantize_config.json").write_text(json.dumps(quantization))
    (folder / "tokenizer_config.json").write_text('{"rewritten": true}')
    (folder / "generation_config.json").write_text('{"do_sample": true}')
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "quant_log.csv").write_text("layer,module\n")
    (folder / "model.safetensors").write_bytes(inputs.safetensors(tensors or QUANTIZED))
    return folder


def test_tokenizer_template_and_generation_config_are_the_sources_byte_for_byte(tmp_path: Path) -> None:
    source, folder = inputs.write_model(tmp_path / "source"), write_artifact(tmp_path / "artifact")
    finish(folder, source, inspect(source, "the source"))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (folder / name).read_bytes() == (source / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "quantize_config.json", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip


def test_no_path_of_the_pod_is_left_in_the_config(tmp_path: Path) -> None:
    source, folder = inputs.write_model(tmp_path / "source"), write_artifact(tmp_path / "artifact")
    finish(folder, source, inspect(source, "the source"))
    text = (folder / "config.json").read_text() + (folder / "quantize_config.json").read_text()
    assert "/tmp" not in text
    assert "/lowbit" not in text
    assert json.loads(text.split("\n}\n")[0] + "}")["quantization_config"]["meta"] == {"damp_percent": 0.01}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (QUANTIZED | {"lm_head.weight": ("BF16", [4], 8)}, "saved twice"),
        (QUANTIZED | {"model.embed_tokens.weight": ("F32", [2, 2], 16)}, "32-bit floats"),
        ({"model.norm.weight": ("BF16", [4], 8)}, "0 of 0 layers are quantized"),
    ],
)
def test_an_artifact_with_wrong_weights_is_refused(tmp_path: Path, tensors: Any, words: str) -> None:
    source, folder = inputs.write_model(tmp_path / "source"), write_artifact(tmp_path / "artifact", tensors)
    with pytest.raises(RefusalError, match=words):
        finish(folder, source, inspect(source, "the source"))


class PlayedBackend(Backend):
    """In place of GPTQ's backend: no torch."""

    packages = ()

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: list[Mapping[str, Any]]) -> None:
        self.runs, self.rows = 0, rows
        monkeypatch.setattr(backends, "BACKENDS", {"gptq": self})
        monkeypatch.setattr(stage, "BACKENDS", {"gptq": self})
        monkeypatch.setattr(stage, "pick_device", lambda _: ("cpu", "CPU"))
        monkeypatch.setattr(stage, "calibrate", lambda *_: Calibrated([], [[1, 2, 3]], {}))

    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        self.runs += 1
        write_artifact(work.target)
        return judge(self.rows, work.facts.layers)

    def smoke_test(self, folder: Path, device: str) -> str:
        return "Paris,\n the  capital " + "of France " * 20


class Breaking(PlayedBackend):
    """A quantizer that breaks with an error."""

    error: Exception

    def quantize(self, work: Work, advance: Advance) -> list[ModuleLoss]:
        raise self.error


def document(store: PVCStore, folder: Path) -> QuantizeDocument:
    source = inputs.write_model(folder / "source")
    workspace = store.workspace("source")
    inputs.write_model(workspace)
    manifest = scan(workspace)
    store.commit("sources", workspace, manifest)
    return QuantizeDocument(
        store=StoreAccess(pvc=PVCStoreAccess()),
        source=manifest.digest,
        facts=inspect(source, "the source"),
        recipe=ResolvedRecipe.model_validate({"gptq": GPTQ64}),
        calibration=ResolvedCalibration(
            samples=1, max_tokens=16, seed=1, datasets=[ResolvedDataset(name="a", digest="sha256:" + "a" * 64)]
        ),
        artifact_hash=ARTIFACT_HASH,
        device="CPU",
    )


def test_an_artifact_is_made_once_and_found_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = PlayedBackend(monkeypatch, [row(), row(1)])
    store = PVCStore(tmp_path / "store")
    job = document(store, tmp_path)
    first = stage.quantize(job, store, inputs.silence("quantize"), scratch=tmp_path / "scratch")
    second = stage.quantize(job, store, inputs.silence("quantize"), scratch=tmp_path / "scratch")
    assert played.runs == 1
    assert second == first.model_copy(update={"reused": True})
    assert first.smoke is not None
    assert len(first.smoke) <= 80
    assert "\n" not in first.smoke


def test_every_modules_loss_is_kept_beside_the_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PlayedBackend(monkeypatch, [row(), row(1, loss="0.25")])
    store = PVCStore(tmp_path / "store")
    result = stage.quantize(document(store, tmp_path), store, inputs.silence(), scratch=tmp_path / "scratch")
    index = json.loads(store.read(artifact_index_key(ARTIFACT_HASH)) or b"")
    assert [module["loss"] for module in index["modules"]] == [0.0000757136, 0.25]
    log = list(csv.DictReader(io.StringIO((store.read(quant_log_key(ARTIFACT_HASH)) or b"").decode())))
    assert [(line["loss"], line["seconds"]) for line in log] == [("7.57136e-05", "0.421"), ("0.25", "0.421")]
    assert [line["module"] for line in log] == [module["name"] for module in index["modules"]]
    assert index["artifact"]["digest"] == result.artifact.digest
    assert (result.worst_module, result.worst_loss) == ("layers.1.mlp.up_proj", 0.25)


def test_a_failed_module_leaves_nothing_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PlayedBackend(monkeypatch, [row(), row(1, loss="nan")])
    store = PVCStore(tmp_path / "store")
    with pytest.raises(RefusalError):
        stage.quantize(document(store, tmp_path), store, inputs.silence(), scratch=tmp_path / "scratch")
    assert not (tmp_path / "store" / "artifacts").exists()
    assert store.read(artifact_index_key(ARTIFACT_HASH)) is None


@pytest.mark.parametrize("at", range(1, 90, 4))
def test_killed_at_any_point_the_next_attempt_makes_the_same_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    PlayedBackend(monkeypatch, [row(), row(1)])
    job = document(PVCStore(tmp_path / "store"), tmp_path)

    def work(_: Callable[[], None]) -> None:
        stage.quantize(job, PVCStore(tmp_path / "store"), inputs.silence(), scratch=tmp_path / "scratch")

    inputs.run_and_die(work, at)
    store = PVCStore(tmp_path / "store")
    before = stage.find(store, ARTIFACT_HASH)
    if before is not None:
        assert scan(store.folder("artifacts", before.artifact.digest)).digest == before.artifact.digest
    result = stage.quantize(job, store, inputs.silence(), scratch=tmp_path / "scratch")
    assert scan(store.folder("artifacts", result.artifact.digest)).digest == result.artifact.digest


def test_an_index_whose_artifact_is_gone_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = PlayedBackend(monkeypatch, [row(), row(1)])
    store = PVCStore(tmp_path / "store")
    job = document(store, tmp_path)
    stage.quantize(job, store, inputs.silence(), scratch=tmp_path / "scratch")
    for path in (tmp_path / "store" / "manifests" / "artifacts").iterdir():
        path.unlink()
    assert not stage.quantize(job, store, inputs.silence(), scratch=tmp_path / "scratch").reused
    assert played.runs == 2


def test_what_libraries_print_does_not_break_the_lines_of_progress(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with tools.quiet(tmp_path / "log") as write:
        os.write(1, b"a bar without end of line\r")
        write("line")
    assert capfd.readouterr().out == "line\n"


def test_what_a_library_printed_before_it_failed_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with tools.quiet(tmp_path / "log"):
            os.write(2, b"the last words")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert "the last words" in capfd.readouterr().err


@pytest.mark.parametrize("desc_act", [True, False])
@pytest.mark.parametrize("group_size", [-1, 32, 64, 128])
def test_every_legal_recipe_asks_for_what_gptqmodel_accepts(group_size: Any, desc_act: bool, tmp_path: Path) -> None:
    recipe = ResolvedGPTQ(bits=4, group_size=group_size, desc_act=desc_act, sym=True, damp_percent="0.01")
    settings = asked(GPTQBackend().settings(recipe), "cpu", tmp_path)
    # gptqmodel refuses act_group_aware without groups, and beside desc_act
    assert settings["act_group_aware"] == (group_size > 0 and not desc_act)


def test_every_recipe_that_is_made_here_has_a_backend_of_its_name_and_no_other_has() -> None:
    assert set(BACKENDS) == {kind.name for kind in RECIPES if kind.made_here}


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=700), min_size=1, max_size=40))
def test_awq_is_shown_blocks_of_one_length_that_hold_all_but_the_rest_of_the_samples(samples: list[list[int]]) -> None:
    blocks = AWQBackend().calibration(samples)
    assert len({len(block) for block in blocks}) == 1
    tokens = [token for sample in samples for token in sample]
    shown = [token for block in blocks for token in block]
    assert shown == tokens[: len(shown)]
    assert len(tokens) - len(shown) < len(blocks[0]) <= BLOCK_TOKENS


def test_awq_is_shown_no_more_than_its_authors_showed_it_and_some_of_every_part() -> None:
    samples = [[number] * (BLOCK_TOKENS + 1) for number in range(4 * BLOCKS)]
    blocks = AWQBackend().calibration(samples)
    assert [len(block) for block in blocks] == [BLOCK_TOKENS] * BLOCKS
    assert {block[-1] // 8 for block in blocks} == set(range(BLOCKS // 2))


def test_a_module_that_awq_does_not_scale_has_no_loss_and_is_no_failure() -> None:
    awq = AWQBackend()
    modules = awq.judge(
        [row(damp=None), row(0, "self_attn.o_proj", loss="not applicable"), row(1, loss="0.5")], layers=2
    )
    assert [module.loss for module in modules] == [0.0000757136, None, 0.5]
    most = worst(modules)
    assert most is not None and most.name == "layers.1.mlp.up_proj"
    with pytest.raises(RefusalError, match=r"layers\.1\.mlp\.up_proj: loss nan"):
        awq.judge([row(0), row(1, loss="nan")], layers=2)


def test_what_the_source_keeps_in_32_bits_the_artifact_may_keep_so(tmp_path: Path) -> None:
    """Routers' corrections (GLM-4.5, DeepSeek-V3) and decay rates are kept in 32 bits on purpose."""
    correction = {"model.layers.0.mamba.A_log": ("F32", [2, 2], 16)}
    source = inputs.write_model(tmp_path / "source")
    embedding = {"model.embed_tokens.weight": ("BF16", [64, 128], 2 * 64 * 128)}
    (source / "model.safetensors").write_bytes(inputs.safetensors(embedding | correction))
    folder = write_artifact(tmp_path / "artifact", QUANTIZED | correction)
    finish(folder, source, inspect(source, "the source"))


def test_a_vector_may_become_wide(tmp_path: Path) -> None:
    correction = {"model.layers.0.mlp.gate.e_score_correction_bias": ("F32", [4], 16)}
    source = inputs.write_model(tmp_path / "source")
    finish(write_artifact(tmp_path / "artifact", QUANTIZED | correction), source, inspect(source, "the source"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [(TypeError("forward() missing 1 argument"), "QuantizationFailed"), (KeyError("q_zeros"), "QuantizationFailed")],
)
def test_a_model_that_the_quantizer_breaks_on_is_refused_so_that_the_next_candidate_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    Breaking(monkeypatch, []).error = error
    store = PVCStore(tmp_path / "store")
    with pytest.raises(RefusalError) as refused:
        stage.quantize(document(store, tmp_path), store, inputs.silence("quantize"), scratch=tmp_path / "scratch")
    assert refused.value.refusal.reason == reason
    assert type(error).__name__ in refused.value.refusal.message


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError("no more")])
def test_what_is_not_the_models_fault_is_not_blamed_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Breaking(monkeypatch, []).error = error
    store = PVCStore(tmp_path / "store")
    with pytest.raises(type(error)):
        stage.quantize(document(store, tmp_path), store, inputs.silence("quantize"), scratch=tmp_path / "scratch")


def test_an_artifact_that_cannot_be_tried_out_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Untried(PlayedBackend):
        def smoke_test(self, folder: Path, device: str) -> str:
            raise AttributeError("'tuple' object has no attribute 'sigmoid'")

    Untried(monkeypatch, [row(), row(1)])
    store = PVCStore(tmp_path / "store")
    with pytest.raises(RefusalError, match="could not be tried out: AttributeError"):
        stage.quantize(document(store, tmp_path), store, inputs.silence("quantize"), scratch=tmp_path / "scratch")
