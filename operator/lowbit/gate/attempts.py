"""What another attempt on the same samples costs: nothing but a warning, or a share of the error."""

from __future__ import annotations

from lowbit.api.evaluation import AttemptsPolicy, ResolvedGate
from lowbit.gate.spending import spent

FIRST = 1


def confidence_of(confidence: str, policy: AttemptsPolicy, attempt: int = FIRST) -> float:
    """One-sided confidence of a gate at one attempt, before it is divided over the candidates."""
    return spent(float(confidence), max(attempt, FIRST)) if policy == "Spend" else float(confidence)


def gate_at(gate: ResolvedGate, policy: AttemptsPolicy, attempt: int) -> ResolvedGate:
    """The gate as it judges one attempt."""
    if policy == "Warn":
        return gate
    return gate.model_copy(update={"confidence": repr(confidence_of(gate.confidence, policy, attempt))})


def sentence(attempt: int, policy: AttemptsPolicy) -> str:
    """What a verdict says of a second attempt and of every one after it; empty of the first."""
    if attempt <= FIRST:
        return ""
    told = f"This was attempt {attempt} on the same samples"
    if policy == "Spend":
        return f"{told}, so its error was divided by {attempt * (attempt + 1)}"
    return f"{told}: one of many attempts passes by luck, so judge the one that you keep on fresh samples"
