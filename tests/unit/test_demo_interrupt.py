"""Ctrl-C, for real: a demo whose steps are stubs runs as a program, and its process group gets SIGINT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hack.cluster.cluster import Cluster
from hack.cluster.paths import Paths
from tests.unit.docs_pages import ROOT

BACKSTOP_SECONDS = 120.0
PROGRAM = """
import signal, subprocess, sys
from pathlib import Path
from hack.demo import commands, steps
from hack.demo.__main__ import main
from hack.cluster.progress import StepError, step

blocked = Path({blocked!r})

def block(*_):
    with step("something long"):
        blocked.touch()
        signal.pause()

def nothing(*_):
    return {{}}

for name in ("look_at_cpu", "prepare_machine", "install", "apply_example", "follow"):
    setattr(commands, name, nothing)
{stub}
sys.exit(main())
"""
KUBECTL = """#!/bin/sh
case "$*" in
*deployment*) echo '{"kind": "Deployment"}' ;;
*quantizedmodel*) echo '{"status": {"stage": "Quantizing"}}' ;;
esac
"""


@dataclass(frozen=True)
class Demo:
    """A demo in a cache of its own."""

    cache: Path
    environment: dict[str, str]

    @property
    def blocked(self) -> Path:
        return self.cache / "blocked"

    def tool(self, name: str, script: str) -> None:
        """A program of the cluster's, played by a script."""
        path = self.cache / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)

    def start(self, stub: str, command: str = "up") -> subprocess.Popen[str]:
        """Start it in a process group of its own, and wait until the stub says that it blocks."""
        source = PROGRAM.format(blocked=str(self.blocked), stub=stub)
        process = subprocess.Popen(
            [sys.executable, "-c", source, command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,
        )
        wait(self.blocked.exists, process)
        return process


def wait(check: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until it is so, while the process lives."""
    deadline = time.monotonic() + BACKSTOP_SECONDS
    while not check():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ctrl_c(process: subprocess.Popen[str]) -> None:
    """What a terminal does: SIGINT to all of the process group."""
    os.killpg(process.pid, signal.SIGINT)


def words_of(process: subprocess.Popen[str]) -> str:
    """What an interrupted demo said at its end; its exit code is 130, and there is no traceback."""
    said, errors = process.communicate(timeout=BACKSTOP_SECONDS)
    assert process.returncode == 130, errors
    assert "Traceback" not in said + errors
    assert "Interrupted." in errors
    assert "The demo stopped at" not in errors
    return errors


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    own = {"LOWBIT_CACHE": str(tmp_path), "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT}"}
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "REGISTRY")}
    return Demo(tmp_path, kept | own)


@pytest.fixture
def cluster(demo: Demo) -> Iterator[Cluster]:
    """A cluster whose programs run, as far as anybody can see: each is a sleep, started as the real one is."""
    cluster = Cluster(Paths(demo.cache / "cluster"))
    demo.tool("kubectl", KUBECTL)
    for process in cluster.processes():
        process.start(["sleep", "3600"])
    cluster.kubeconfig.touch()
    yield cluster
    for process in cluster.processes():
        process.stop()


def test_ctrl_c_before_the_cluster_is_up_says_that_nothing_runs(demo: Demo) -> None:
    process = demo.start("commands.prepare_machine = block")
    ctrl_c(process)
    said = words_of(process)
    assert f"Nothing of the demo runs on this machine. What is built stays in {demo.cache}; make demo goes on" in said


def test_ctrl_c_says_what_goes_on_running(demo: Demo, cluster: Cluster) -> None:
    process = demo.start("commands.follow = block")
    ctrl_c(process)
    said = words_of(process)
    assert "The cluster on this machine and the operator go on running. The operator goes on with smollm2" in said
    assert "at the stage Quantizing" in said
    for line in (r"Go on:        make demo ", "Take it down: make demo-down\n"):
        assert line in said
    assert f"KUBECONFIG={cluster.kubeconfig} " in said
    assert "kubectl -n lowbit-demo describe qm smollm2\n" in said


def test_ctrl_c_leaves_the_clusters_programs_alone(demo: Demo, cluster: Cluster) -> None:
    """They were started as the demo starts them, by a program in the group that got the SIGINT."""
    process = demo.start(
        "from hack.cluster.cluster import Cluster\n"
        "for each in Cluster().processes():\n"
        "    each.stop()\n"
        "    each.start(['sleep', '3600'])\n"
        "commands.follow = block"
    )
    ctrl_c(process)
    assert "go on running" in words_of(process)
    assert all(each.alive() for each in cluster.processes())


@pytest.mark.parametrize(
    "error",
    ["StepError('worker', 'buildah ended with exit code -2')", "subprocess.CalledProcessError(-2, ['apt-get'])"],
)
def test_a_program_that_ctrl_c_ended_is_no_failure_of_the_demo(demo: Demo, error: str) -> None:
    process = demo.start(
        "def prepare(*_):\n"
        "    child = subprocess.Popen(['sleep', '3600'])\n"
        "    try:\n"
        "        blocked.touch()\n"
        "        child.wait()\n"
        "    except KeyboardInterrupt:\n"
        "        assert child.wait() == -signal.SIGINT\n"
        f"        raise {error}\n"
        "commands.prepare_machine = prepare"
    )
    ctrl_c(process)
    assert "Nothing of the demo runs" in words_of(process)


def test_an_error_without_ctrl_c_is_a_failure_as_before(demo: Demo) -> None:
    process = demo.start(
        "def prepare(*_):\n"
        "    blocked.touch()\n"
        "    sys.stdin.readline()\n"
        "    raise StepError('worker', 'no space left')\n"
        "commands.prepare_machine = prepare"
    )
    said, errors = process.communicate(timeout=BACKSTOP_SECONDS)
    assert (process.returncode, said) == (1, "")
    assert errors == "\nThe demo stopped at: worker: no space left\n"


def test_a_second_ctrl_c_during_the_words_changes_nothing(demo: Demo, cluster: Cluster) -> None:
    asked, go = demo.cache / "asked", demo.cache / "go"
    demo.tool("kubectl", KUBECTL.replace("case", f"touch {asked}; until [ -e {go} ]; do sleep 0.02; done; case", 1))
    process = demo.start("commands.follow = block")
    ctrl_c(process)
    wait(asked.exists, process)
    for _ in range(3):
        ctrl_c(process)
    go.touch()
    said = words_of(process)
    assert said.count("Interrupted.") == 1
    assert "stage Quantizing" in said


def test_ctrl_c_again_and_again_ends_in_one_sentence(demo: Demo) -> None:
    process = demo.start("commands.prepare_machine = block")
    while process.poll() is None:
        ctrl_c(process)
    said = words_of(process)
    assert said.count("Interrupted.") == 1
    assert said.count("Nothing of the demo runs") == 1


def test_ctrl_c_while_the_demo_is_being_loaded_ends_in_a_sentence(demo: Demo) -> None:
    process = demo.start(
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'hack.demo.commands':\n"
        "            sys.meta_path.remove(self)\n"
        "            block()\n"
        "del sys.modules['hack.demo.commands']\n"
        "sys.meta_path.insert(0, Slow())"
    )
    ctrl_c(process)
    assert "Nothing of the demo runs" in words_of(process)


def test_helm_is_given_the_time_to_write_down_that_it_was_cancelled(demo: Demo, cluster: Cluster) -> None:
    """One that is killed leaves its release pending, and no later helm goes on from there."""
    recorded = demo.cache / "recorded"
    demo.tool(
        "helm",
        f"#!/bin/sh\ntrap 'sleep 0.6; touch {recorded}; exit 1' INT\ntouch {demo.blocked}\n"
        "while :; do sleep 0.05; done\n",
    )
    process = demo.start(
        "commands.prepare_machine = lambda *_: dict.fromkeys(('operator', 'worker', 'guard', 'engine'), 'image')\n"
        "commands.install = steps.install"
    )
    ctrl_c(process)
    assert "go on running" in words_of(process)
    assert recorded.exists()


def test_ctrl_c_at_the_taking_down_says_how_to_end_it(demo: Demo, cluster: Cluster) -> None:
    process = demo.start("commands.remove = block", command="down")
    ctrl_c(process)
    said = words_of(process)
    assert "Take it down: make demo-down\n" in said
    assert "Go on:" not in said


def test_ctrl_c_on_somebodys_cluster_says_what_goes_on_there(demo: Demo) -> None:
    kubeconfig = demo.cache / "somebodys"
    kubeconfig.touch()
    demo.tool("kubectl", KUBECTL)
    demo.environment["KUBECONFIG"] = str(kubeconfig)
    process = demo.start("commands.follow = block")
    ctrl_c(process)
    said = words_of(process)
    assert f"On the cluster of {kubeconfig} the operator goes on running" in said
    assert f"Go on:        KUBECONFIG={kubeconfig} make demo " in said
    assert f"Take it down: KUBECONFIG={kubeconfig} make demo-down (removes the namespaces lowbit-demo" in said


def test_a_cluster_that_cannot_be_asked_is_no_traceback(demo: Demo, cluster: Cluster) -> None:
    demo.tool("kubectl", "#!/bin/sh\necho 'The connection was refused' >&2\nexit 1\n")
    process = demo.start("commands.follow = block")
    ctrl_c(process)
    assert "could not be asked what goes on running there: The connection was refused\n" in words_of(process)


def test_packages_are_installed_to_the_end(demo: Demo) -> None:
    """A dpkg that SIGINT ends in the middle has to be mended by hand."""
    installed = demo.cache / "installed"
    line = f"kill -INT 0; sleep 0.1; touch {installed}"
    process = demo.start(
        "def install(wanted):\n"
        "    blocked.touch()\n"
        f"    subprocess.run(['sh', '-c', {line!r}], check=True)\n"
        "steps.packages.install = install\n"
        "steps.packages.missing = lambda wanted: list(wanted)\n"
        "steps.os.geteuid = lambda: 0\n"
        "steps.programs.build = lambda *_: (_ for _ in ()).throw(StepError('build', 'it went on'))\n"
        "commands.prepare_machine = steps.prepare_machine"
    )
    said = words_of(process)
    assert "Nothing of the demo runs" in said
    assert installed.exists()
