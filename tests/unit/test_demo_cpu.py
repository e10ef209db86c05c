"""The demo says which kernels this machine's CPU runs, and stops at once where vLLM runs none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.cluster.progress import StepError
from hack.demo import commands, cpu
from hack.demo.cluster import DemoCluster

AVX512 = "fpu sse4_2 avx avx2 avx512f avx512dq avx512cd avx512bw avx512vl"
AVX2 = "fpu sse4_2 avx avx2 fma"
OLD = "fpu sse4_2 avx"


def processor(number: int, flags: str, model: str = "Test 9000") -> str:
    """One processor's part of /proc/cpuinfo."""
    head = f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: {model}\n"
    return f"{head}flags\t\t: {flags}\npower management:\n\n"


def machine(*flags: str) -> str:
    """/proc/cpuinfo of a machine with a processor for each of these flags."""
    return "".join(processor(number, each) for number, each in enumerate(flags))


def said(cpuinfo: str) -> str:
    return "\n".join(cpu.sentences(cpu.parse(cpuinfo)))


def test_a_cpu_with_avx512_runs_int4_in_vllms_own_kernel_and_8_bit_in_lowbits() -> None:
    found = cpu.parse(machine(AVX512, AVX512))
    assert found == cpu.Cpu("Test 9000", 2, avx512=True, avx2=True, avx512_bf16=False, amx=False)
    cpu.require(found)
    text = said(machine(AVX512, AVX512))
    assert text.startswith("CPU: Test 9000, 2 cores, with AVX-512.\n")
    assert "int4 weights run in vLLM's own int4 kernel (CPUWNA16LinearKernel)" in text
    assert "8-bit weights in Lowbit's (LowbitUnpackedLinearKernel)" in text


def test_faster_instructions_beyond_avx512_are_named() -> None:
    flags = f"{AVX512} avx512_bf16 amx_bf16 amx_tile amx_int8"
    found = cpu.parse(machine(flags))
    assert (found.avx512_bf16, found.amx) == (True, True)
    assert "1 core, with AVX-512 (avx512_bf16, AMX)." in said(machine(flags))


def test_a_cpu_with_avx2_alone_is_told_what_it_costs() -> None:
    found = cpu.parse(machine(AVX2))
    assert (found.avx512, found.avx2) == (False, True)
    cpu.require(found)
    text = said(machine(AVX2))
    assert text.startswith("CPU: Test 9000, 1 core, with AVX2 and without AVX-512.\n")
    for part in (
        "LowbitUnpackedLinearKernel",
        "to bfloat16 once",
        "answers are the same",
        "memory of the original model",
    ):
        assert part in text


@pytest.mark.parametrize("flag", sorted(cpu.AVX512))
def test_a_part_of_avx512_is_not_avx512(flag: str) -> None:
    assert not cpu.parse(machine(AVX512.replace(flag, ""))).avx512


def test_a_flag_counts_only_if_every_processor_has_it() -> None:
    found = cpu.parse(machine(AVX512, AVX2))
    assert (found.cores, found.avx512, found.avx2) == (2, False, True)


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (machine(OLD), "Test 9000"),
        ("", "a CPU without a name"),
        ("processor\t: 0\nmodel name\t: No Flags 1\n", "No Flags 1"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm\n", "a CPU without a name"),
        ("processor : 0\nmodel name :\nflags :\n", "a CPU without a name"),
        ("no colon in this line\n", "a CPU without a name"),
    ],
)
def test_without_avx2_the_demo_says_what_is_needed(cpuinfo: str, name: str) -> None:
    with pytest.raises(StepError, match=rf"{name} has no AVX2.*vLLM does not run.*needs an x86-64 CPU with AVX2"):
        cpu.require(cpu.parse(cpuinfo))


def test_a_machine_without_avx2_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    info = tmp_path / "cpuinfo"
    info.write_text(machine(OLD))
    monkeypatch.setattr(commands, "CPUINFO", info)
    monkeypatch.setattr(commands, "prepare_machine", lambda _: built.append("machine"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(StepError, match="AVX2"):
        commands.up()
    assert built == []


def test_of_somebodys_cluster_the_demo_says_that_the_nodes_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "CPUINFO", tmp_path / "not read")
    commands.look_at_cpu(DemoCluster(tmp_path / "kubeconfig", ours=False))
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert "the nodes' CPUs decide" in text
    assert "log names" in text
