"""Which of vLLM's kernels this machine's CPU runs: read from the text of /proc/cpuinfo."""

from __future__ import annotations

from dataclasses import dataclass

from hack.cluster.progress import StepError

AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
"""What torch.cpu._is_avx512_supported asks for."""
AMX = frozenset({"amx_tile", "amx_int8", "amx_bf16"})
FAST, UNPACKED = "CPUWNA16LinearKernel", "LowbitUnpackedLinearKernel"
"""vLLM's own int4 kernel, and Lowbit's, which is part of the CPU engine's image."""
ELSEWHERE = "CPU: the nodes' CPUs decide which kernel runs; the engine's log names the one that ran."


@dataclass(frozen=True)
class Cpu:
    """A machine's CPU, as far as it matters to vLLM."""

    model: str
    cores: int
    """Processors that Linux counts."""
    avx512: bool
    avx2: bool
    avx512_bf16: bool
    amx: bool


def parse(cpuinfo: str) -> Cpu:
    """Read the text of /proc/cpuinfo. A flag counts if every processor has it; what is missing is taken as absent."""
    fields = [
        (name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in cpuinfo.splitlines())
    ]
    models = [value for name, value in fields if name == "model name" and value]
    flags = [frozenset(value.split()) for name, value in fields if name == "flags"]
    common = frozenset.intersection(*flags) if flags else frozenset()
    return Cpu(
        model=models[0] if models else "a CPU without a name",
        cores=sum(name == "processor" for name, _ in fields),
        avx512=common >= AVX512,
        avx2="avx2" in common,
        avx512_bf16="avx512_bf16" in common,
        amx=common >= AMX,
    )


def require(cpu: Cpu) -> None:
    """Raises StepError where vLLM does not run at all."""
    if cpu.avx2:
        return
    raise StepError(
        "CPU",
        f"{cpu.model} has no AVX2, and vLLM does not run on a CPU without it. The demo needs an x86-64 CPU with AVX2. "
        "A virtual machine has it if its CPU model passes the host's flags on (QEMU: -cpu host). "
        "Or set KUBECONFIG to a cluster whose nodes have it",
    )


def sentences(cpu: Cpu) -> list[str]:
    """Say what the CPU has, and which kernels follow from it. Of a CPU with AVX2."""
    cores = f"{cpu.cores} core{'' if cpu.cores == 1 else 's'}"
    if not cpu.avx512:
        return [
            f"CPU: {cpu.model}, {cores}, with AVX2 and without AVX-512.",
            f"     vLLM's int4 kernel ({FAST}) needs AVX-512. Lowbit's kernel ({UNPACKED}, part of the CPU engine's "
            "image) takes its place: it unpacks int4 and 8-bit weights to bfloat16 once, when they are loaded.",
            "     The answers are the same. It is a little slower, and takes the memory of the original model.",
        ]
    more = [name for name, there in (("avx512_bf16", cpu.avx512_bf16), ("AMX", cpu.amx)) if there]
    extra = f" ({', '.join(more)})" if more else ""
    return [
        f"CPU: {cpu.model}, {cores}, with AVX-512{extra}.",
        f"     int4 weights run in vLLM's own int4 kernel ({FAST}); 8-bit weights in Lowbit's ({UNPACKED}), "
        "which unpacks them to bfloat16 once, when they are loaded.",
    ]
