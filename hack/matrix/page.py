"""Writes docs/architectures.md from the table: `python -m hack.matrix.page`."""

from __future__ import annotations

from images.targets import ROOT
from lowbit.architecture.support import Ended, Table, table

PAGE = ROOT / "docs" / "architectures.md"
WHY_LENGTH = 90


def page(known: Table) -> str:
    """The page as Markdown."""
    head = f"""# Architectures

<!-- Made by `python -m hack.matrix.page` from operator/lowbit/architecture/support.json. -->

What works with which type of model. `lowbit plan` and prepare refuse what is known not to work, before a GPU is asked
for. `make matrix` makes the table: a tiny random model of each type (two layers) goes through the quantizer (gptqmodel
{known.quantizer.version}) as the quantize Job runs it, and the original and each artifact through the CPU engine (vLLM
{known.engine.version}).

- **no**: it was tried and failed; the reasons stand below.
- **-**: there was nothing to try, or the random weights of the tiny model overflowed.
- **class in vLLM**: its own, or transformers' that it runs as it is; read in the registry of vLLM
  {known.engine.version}, which is the same on GPUs. A type without either is refused, unless the manifest names an
  image of its own.

A type that is not here is quantized if gptqmodel has a definition of it ({len(known.quantizer.names)} types), and the
evaluation tells whether the engine loads it. A tiny model shows that the steps work, and nothing about quality.

| type | gptq | awq | original loads | gptq artifact loads | awq artifact loads | class in vLLM |
|---|---|---|---|---|---|---|
"""
    rows = []
    reasons = []
    for name, tried in sorted(known.tried.items()):
        listed = _listed(tried.architecture, known)
        gptq, awq = tried.of("gptq"), tried.of("awq")
        words = [_word(gptq.quantizes), _word(awq.quantizes), _word(tried.original.loads), _word(gptq.loads),
                 _word(awq.loads), listed]  # fmt: skip
        rows.append(f"| {name} | {' | '.join(words)} |")
        reasons += _reasons(name, tried.original, "original")
        reasons += [*_reasons(name, gptq, "gptq"), *_reasons(name, awq, "awq")]
        if tried.needs:
            reasons.append(f"- {name} needs {', '.join(tried.needs)}, which the worker's image lacks.")
        if tried.cpu_only:
            reasons.append(f"- {name}, in the CPU engine alone: {tried.cpu_only}")
        if tried.note:
            reasons.append(f"- {name}: {tried.note}")
    return head + "\n".join(rows) + "\n\n## Reasons\n\n" + "\n".join(reasons) + "\n"


def _listed(architecture: str, known: Table) -> str:
    if architecture in known.engine.names:
        return "its own"
    return "transformers'" if architecture in known.engine.through else "none"


def _word(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _reasons(name: str, ended: Ended, what: str) -> list[str]:
    if not ended.why:
        return []
    why = ended.why if len(ended.why) <= WHY_LENGTH else ended.why[: WHY_LENGTH - 1] + "…"
    return [f"- {name}, {what}: `{why.replace('`', chr(39))}`"]


if __name__ == "__main__":
    PAGE.write_text(page(table()))
