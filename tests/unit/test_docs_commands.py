"""What the documentation tells people to type works, and what it shows them to write is valid."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from lowbit.cli.main import main
from lowbit.schema.check import WRITTEN_BY_PEOPLE
from tests.unit import docs_kubectl
from tests.unit.api_inputs import SMOLLM2
from tests.unit.docs_pages import PAGES, ROOT, Command, blocks, commands
from tests.unit.measurements import Estimate, row

COMMANDS = sorted(set(commands()), key=str)
PILOT = row("KLDivergence", Estimate(0.02, 0.001, 300, 1.5)).wire()
"""What an earlier evaluation has measured."""
SETTING = ("export",)
"""What stands between commands, and changes nothing."""


def of(program: str) -> list[Command]:
    return [command for command in COMMANDS if command.text.split(" ", maxsplit=1)[0] == program]


def test_every_command_is_of_a_program_that_is_checked_here() -> None:
    known = ("make", "kubectl", "lowbit", *SETTING)
    assert [str(command) for command in COMMANDS if command.text.split(" ", maxsplit=1)[0] not in known] == []
    assert all(of(program) for program in ("make", "kubectl", "lowbit")), "there is nothing to check"


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_every_make_target_exists(command: Command) -> None:
    made = subprocess.run(
        ["make", "-n", *shlex.split(command.text)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("command", of("lowbit"), ids=str)
def test_every_lowbit_command_runs(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with examples, a model's config and an earlier result. A command that is only named has to be one."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM2))
    (tmp_path / "result.json").write_text(json.dumps({"summary": {"measurements": [PILOT]}}))
    monkeypatch.chdir(tmp_path)
    words = ["examples/smollm2.yaml" if word == "FILE" else word for word in shlex.split(command.text)[1:]]
    out = io.StringIO()
    if len(words) == 1:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"], out)
        assert ended.value.code == 0
    else:
        assert main(words, out) == 0, out.getvalue()


@pytest.mark.parametrize("command", of("kubectl"), ids=str)
def test_every_kubectl_command_parses_and_names_what_there_is(command: Command) -> None:
    docs_kubectl.check(command.text)


@pytest.mark.parametrize(
    "bad",
    ["kubectl get quantisedmodels", "kubectl obtain pods", "kubectl get pods --sideways",
     "kubectl apply -f examples/none.yaml", "kubectl patch qm NAME -p '{'", "kubectl rollout sideways deployment/x",
     "kubectl lowbit reports NAME", "kubectl lowbit report NAME --format pdf"],
)  # fmt: skip
def test_a_kubectl_command_that_cannot_work_is_found(bad: str) -> None:
    with pytest.raises((docs_kubectl.BadCommandError, ValueError)):
        docs_kubectl.check(bad)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: page.name)
def test_every_manifest_in_the_documentation_is_valid(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "yaml")):
        documents = [document for document in yaml.safe_load_all(block) if document]
        assert documents
        if any(document.get("kind") in WRITTEN_BY_PEOPLE for document in documents):
            file = tmp_path / f"{number}.yaml"
            file.write_text(block)
            out = io.StringIO()
            assert main(["plan", str(file)], out) == 0, out.getvalue()
