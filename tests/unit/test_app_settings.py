"""Settings from flags and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowbit.app.settings import Settings, SettingsError, read_settings


def test_a_flag_wins_over_the_environment() -> None:
    environment = {"LOWBIT_WORKERS": "3", "LOWBIT_NAMESPACES": "a, b"}
    assert read_settings([], environment).workers == 3
    assert read_settings([], environment).namespaces == ("a", "b")
    assert read_settings(["--workers=5"], environment).workers == 5


def test_durations_that_could_make_two_leaders_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(["--lease-duration=5"], {})
    assert "lease-renew-deadline < lease-duration" in capsys.readouterr().err


def test_the_platform_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("workerImage: registry.example/worker:1\n")
    assert Settings(platform_file=str(file)).platform().worker_image == "registry.example/worker:1"
    file.write_text("workerImages: x\n")
    with pytest.raises(SettingsError, match=r"platform\.yaml.*workerImages"):
        Settings(platform_file=str(file)).platform()
