"""Steps of the demo that an interrupted run may leave half done."""

from __future__ import annotations

from pathlib import Path

from hack.demo.steps import copy_whole


def model(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_copy_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    source, target = model(tmp_path / "source"), tmp_path / "volume" / "model"
    half = target.with_name(".model.copy")
    half.mkdir(parents=True)
    (half / "config.json").write_text("")
    copy_whole(source, target)
    assert names(target) == names(source)
    assert (target / "config.json").read_text() == "config.json"
    assert names(target.parent) == ["model"]


def test_a_model_that_is_there_is_not_copied_again(tmp_path: Path) -> None:
    source, target = model(tmp_path / "source"), model(tmp_path / "target")
    (target / "config.json").write_text("kept")
    copy_whole(source, target)
    assert (target / "config.json").read_text() == "kept"
