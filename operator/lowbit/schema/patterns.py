"""Messages for text that does not match its pattern. The API server alone would show the pattern."""

from __future__ import annotations

from typing import Final

PATTERNS: Final[dict[str, str]] = {
    r"^sha256:[0-9a-f]{64}$": "a digest is sha256: and 64 hexadecimal digits: copy it from a ModelRevision's status",
    r"^[0-9]+(\.[0-9]+)?$": 'not a decimal number: write digits in quotes, such as "0.15"',
    r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$": "not a quantity: write 500m, 4 or 16Gi, say",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "not a name: write lower-case letters and "
    "digits, with - and . only between them",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "not a name: write lower-case letters and digits, with - only between them",
    r"^\.?[A-Za-z0-9_=](\.?[A-Za-z0-9_/=+@~\-])*$": "not a path below the root: write models/smollm2, say, without "
    "a leading / and without ..",
    r"^[-._a-zA-Z0-9]+$": "not a key of a Secret or ConfigMap: write letters, digits, - _ and .",
    r"^[A-Za-z0-9_.\-]+/[A-Za-z0-9_.\-]+$": "not a repository of the hub: write owner/name, such as "
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    r"^[0-9a-f]{40}$": "a branch or tag can change under you: write the full commit hash, 40 hexadecimal digits "
    "(the repository's page on the hub shows it under Files, History)",
    r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$": "not a bucket: write 3 to 63 lower-case letters, digits, - and .",
    r"^https?://[^\s/]+(/[^\s]*)?$": "not an address: write https://host or http://host:port",
    r"^[a-z0-9][a-z0-9_.\-]*$": "not a parser of vLLM: write its name, such as hermes for tool calls or qwen3 for "
    "reasoning",
    r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$": "not a task's name: write letters, digits, _ . + and -, such as arc_easy",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "not a variable's name: write letters, digits and _, and begin with no digit",
}
"""By the pattern in the types."""
