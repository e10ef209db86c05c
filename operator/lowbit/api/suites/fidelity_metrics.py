"""Metrics of fidelity: how far two models' next-token distributions are apart, and how far noise alone puts them."""

from __future__ import annotations

from typing import Final

from lowbit.api.suites.metric import Metric

KL_DIVERGENCE = Metric(
    name="KLDivergence",
    title="KL divergence",
    meaning="nats per token over the top logprobs, a lower bound of the true one; 0 is equal",
    explained="KL(original || candidate) of the next token over the topLogprobs likely tokens, in nats, a lower bound "
    "of the true divergence; mean over texts of the mean over their tokens",
    better="Lower",
    unreachable='no quantized model reaches a KLDivergence of 0: write the most that is good enough, such as "0.05"',
    bound="GuardedHall",
)
PERPLEXITY_RATIO = Metric(
    name="PerplexityRatio",
    title="Perplexity ratio",
    meaning="candidate / original; 1 is equal",
    explained="candidate / original, exp of the mean over texts of the difference of their mean losses",
    better="Lower",
    unreachable='no model reaches a PerplexityRatio of 0, and 1 is that of the original: write "1.05", say',
    scale="Logarithmic",
    implausible=0.8,
)
TOP1_AGREEMENT = Metric(
    name="Top1Agreement",
    title="Top-1 agreement",
    meaning="share of tokens where both rank the same token first",
    explained="share of tokens where both models rank the same token first; mean over texts of the shares in each",
    better="Higher",
    unreachable='Top1Agreement is a share above 0, and none is above 1: write "0.95" for 95 percent, say',
    greatest=1.0,
    bound="GuardedHall",
    perfect=True,
)
PERPLEXITY = Metric(
    name="Perplexity",
    title="Perplexity",
    meaning="exp of the mean loss",
    better="Lower",
    scale="Logarithmic",
    bound=None,
)
COVERED_MASS = Metric(
    name="CoveredMass",
    title="Covered mass",
    meaning="probability mass of the original that was compared token by token; the rest is in the remainder bucket",
    better="Higher",
    greatest=1.0,
    bound=None,
)
KL_P99 = Metric(
    name="KLDivergenceP99",
    title="KL divergence, 99 %",
    meaning="99 of 100 tokens are nearer than this, in nats; over all tokens, its error by a bootstrap of the texts",
    better="Lower",
    bound=None,
)
KL_P999 = Metric(
    name="KLDivergenceP999",
    title="KL divergence, 99.9 %",
    meaning="999 of 1000 tokens are nearer than this, in nats; over all tokens, its error by a bootstrap of the texts",
    better="Lower",
    bound=None,
)
KL_FLOOR = Metric(
    name="KLDivergenceFloor",
    title="KL divergence, floor",
    meaning="the original against itself, read again in another order and batch; 0 where the engine repeats itself",
    better="Lower",
    bound=None,
)
KL_TO_FLOOR = Metric(
    name="KLDivergenceToFloor",
    title="KL divergence / floor",
    meaning="KLDivergence / KLDivergenceFloor; 1 is as near as the original is to itself",
    explained="KLDivergence / KLDivergenceFloor, how many times farther the candidate is from the original than the "
    "original is from itself in a second reading; not measured where that floor is 0 (CPU)",
    better="Lower",
    unreachable='no KLDivergenceToFloor is 0, and 1 is that of the original: write "20", say',
    bound="GuardedHall",
)
ANSWER_KL = Metric(
    name="AnswerKLDivergence",
    title="KL divergence on answers",
    meaning="KLDivergence at the tokens of answers that the original has generated; both read them",
    explained="KLDivergence at the tokens of answers that the original has generated; needs fidelity.answers",
    better="Lower",
    unreachable="no quantized model reaches an AnswerKLDivergence of 0: write the most that is good enough",
    bound="GuardedHall",
    unit="answer",
)
DECODING_KL = Metric(
    name="DecodingKLDivergence",
    title="KL divergence while decoding",
    meaning="the same while both generate the answer, token by token, by their decode kernels",
    explained="KLDivergence while both models generate the original's answers token by token, by their decode kernels; "
    "needs fidelity.answers",
    better="Lower",
    unreachable="no quantized model reaches a DecodingKLDivergence of 0: write the most that is good enough",
    bound="GuardedHall",
    unit="answer",
)
PREFILL_DECODE = Metric(
    name="PrefillDecodeDivergence",
    title="KL divergence, prefill to decode",
    meaning="one model with itself: an answer's tokens as it reads them, against the same as it generates them",
    better="Lower",
    bound=None,
    unit="answer",
)

MEANS: Final = (KL_DIVERGENCE, TOP1_AGREEMENT, PERPLEXITY_RATIO, PERPLEXITY, COVERED_MASS)
"""Means over the texts that were read."""
ON_ANSWERS: Final = (ANSWER_KL, DECODING_KL, PREFILL_DECODE)
"""Measured only where answers are asked for."""
FIDELITY_METRICS: Final = (*MEANS, KL_P99, KL_P999, KL_FLOOR, KL_TO_FLOOR, *ON_ANSWERS)
