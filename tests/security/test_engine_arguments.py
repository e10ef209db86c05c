"""Whatever a manifest writes as the engine's arguments, the engine is told nothing but what is on the list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.api.engines.vllm import VLLM
from lowbit.api.engines.vllm_arguments import ALLOWED, offences
from lowbit.api.engines.vllm_judged import ALLOWED_ARGUMENTS, OWN_ARGUMENTS, REFUSED_ARGUMENTS, WHY
from lowbit.api.platform import Platform
from lowbit.schema.check import Finding, broken_rules, check_manifest
from tests.api.manifests import changed, good
from tests.security.parser import TABLE, VERSIONS, ParserError, options_set

ISSUE = (
    ["--worker-cls=evil.Worker"], ["--worker-extension-cls", "evil.Worker"], ["--middleware", "evil.app"],
    ["--tool-parser-plugin", "/tmp/evil.py"], ["--reasoning-parser-plugin=/tmp/evil.py"],
    ["--logits-processors", "evil:Processor"], ["--speculative-config", '{"model": "other"}'], ["-sc", "{}"],
    ["--speculative-config.model=other"], ["--speculative_config.model", "other"], ["--chat-template", "{{ evil }}"],
    ["--kv-transfer-config", "{}"], ["--allowed-local-media-path", "/"], ["--scheduler-cls", "evil.Scheduler"],
    ["--compilation-config", '{"backend": "evil"}'], ["-cc.backend=evil"], ["--load-format", "runai_streamer"],
    ["-t", "2"], ["-n", "2"], ["-tp2"], ["-tp=2"], ["-dp", "2"], ["-q=awq"], ["-h"], ["--help=all"],
    ["--worker_cls", "x"], ["--worker-c", "x"], ["--middle", "x"], ["--trust"], ["--mod", "x"], ["--no-trust-r"],
    ["--", "other"], ["--config", "x.yaml"], ["--allow-cred", "--worker-cls=x"], ["--max-num-seqs", "--worker-cls=x"],
    ["--worker-cls evil"], ["-O", "--worker-cls=x"], ["--hf-overrides.architectures=[x]"], ["--hf-token=x"],
    ["--seed.a", "--worker-cls=x"], ["---worker-cls=x"], ["--structured-outputs-config.reasoning_parser_plugin=x"],
)  # fmt: skip


def findings(arguments: list[str], platform: Platform | None = None) -> list[str]:
    """Messages about a manifest with these arguments."""
    manifest = changed(good("smallest"), {"spec.engine": {"vllm": {"args": arguments}}})
    return [finding.message for finding in check_manifest(manifest, platform).findings]


def broken(arguments: list[str]) -> list[Finding]:
    """The same of the engine alone, which is quicker."""
    return list(broken_rules(VLLM(args=arguments), ""))


def as_change(arguments: list[str]) -> list[str]:
    """Messages about a manifest whose candidate changes the engine so."""
    manifest = changed(good("smallest"), {"spec.candidates.0.engine": {"args": arguments}})
    return [finding.message for finding in check_manifest(manifest).findings]


@pytest.mark.parametrize("arguments", ISSUE, ids=" ".join)
def test_no_manifest_makes_the_engine_run_what_was_not_judged(arguments: list[str]) -> None:
    assert findings(arguments)
    assert as_change(arguments)
    assert list(offences(arguments, "vllm/vllm-openai:v0.33.0"))


def spelled(version: str, allowed: bool) -> Iterator[tuple[str, str]]:
    """Every spelling of the options that are allowed, or are not, and the option."""
    for first, option in TABLE[version]["options"].items():
        if (first in ALLOWED) is allowed:
            yield from ((name, first) for name in option["names"])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_not_on_the_list_is_refused_in_every_spelling(version: str) -> None:
    image, passed = f"vllm/vllm-openai:v{version}", []
    for name, _ in spelled(version, allowed=False):
        underscores = "--" + name[2:].replace("-", "_") if name.startswith("--") else name
        for spelling in {name, f"{name}=1", underscores, f"{underscores}=1", f"{name}.key=1", name[:-1]} - {"-"}:
            refused = bool(broken([spelling])) and any(offences([spelling], image))
            if not refused and not (options_set_or_none(version, [spelling, "1"]) or {spelling}) <= ALLOWED:
                passed.append(spelling)
    assert passed == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_on_the_list_is_accepted_in_every_whole_spelling(version: str) -> None:
    refused = []
    for name, _ in spelled(version, allowed=True):
        underscores = "--" + name[2:].replace("-", "_") if name.startswith("--") else name
        for arguments in ([f"{name}=1"], [underscores, "1"], [f"{name}.key=1"]):
            if broken(arguments) or any(offences(arguments, f"vllm/vllm-openai:v{version}")):
                refused.append(arguments)
    assert refused == []


def options_set_or_none(version: str, arguments: list[str]) -> set[str] | None:
    try:
        return options_set(version, arguments)
    except ParserError:
        return None


NAMES = sorted(
    {name for version in VERSIONS for option in TABLE[version]["options"].values() for name in option["names"]}
)
TOKENS = st.one_of(
    st.sampled_from(NAMES),
    st.builds(lambda name, cut: name[: max(2, cut)], st.sampled_from(NAMES), st.integers(2, 20)),
    st.builds(lambda name, value: f"{name}={value}", st.sampled_from(NAMES), st.sampled_from(["1", "a.b", "--x", ""])),
    st.builds(lambda name, key: f"{name}.{key}", st.sampled_from(NAMES), st.sampled_from(["a", "a=1", "a.b", "a+"])),
    st.builds(lambda name: name.replace("-", "_").replace("__", "--", 1), st.sampled_from(NAMES)),
    st.sampled_from(["1", "-1", "-0.5", "-", "--", "-O", "-O3", "-O=3", "--=1", "-x y", "", "$(A)", "a=b", "-t8"]),
)  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=1000)
@given(arguments=st.lists(TOKENS, max_size=5))
def test_what_the_engines_parser_makes_of_accepted_arguments_is_on_the_list(version: str, arguments: list[str]) -> None:
    if broken(arguments):
        return
    assert (options_set_or_none(version, arguments) or set()) <= ALLOWED | {"--optimization-level"}


@pytest.mark.parametrize(
    "arguments", [["--max-num-seqs"], ["--kernel-config.a"], ["--seed=1", "--default-chat-template-kwargs.x"]]
)
def test_arguments_that_would_swallow_lowbits_next_one_are_refused(arguments: list[str]) -> None:
    (offence,) = offences(arguments, "vllm/vllm-openai:v0.33.0")
    assert "its value is missing" in offence.why


@pytest.mark.parametrize("version", VERSIONS)
def test_every_argument_of_every_known_version_is_judged_once(version: str) -> None:
    allowed = [name for names in ALLOWED_ARGUMENTS.values() for name in names]
    refused = [name for names in REFUSED_ARGUMENTS.values() for name in names]
    judged = [*OWN_ARGUMENTS, *allowed, *refused]
    assert len(judged) == len(set(judged))
    assert set(TABLE[version]["options"]) <= set(judged)
    assert set(REFUSED_ARGUMENTS) == set(WHY)


def test_a_platform_adds_to_the_list_but_not_what_lowbit_sets() -> None:
    platform = Platform(allowed_engine_arguments=["--middleware", "--port", "-tp"])
    assert findings(["--middleware", "our.app"]) != []
    assert findings(["--middleware", "our.app"], platform) == []
    assert list(offences(["--middleware=x"], "vllm/vllm-openai:v0.33.0", platform.allowed_engine_arguments)) == []
    for own in (["--port=1"], ["-tp=2"]):
        assert findings(own, platform)
        assert list(offences(own, "vllm/vllm-openai:v0.33.0", platform.allowed_engine_arguments))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("vllm/vllm-openai:v0.33.0", "(vLLM 0.33.0)"),
        ("registry.example.com:5000/vllm:0.32.0-cu130@sha256:" + "a" * 64, "(vLLM 0.32.0)"),
        ("vllm/vllm-openai@sha256:" + "a" * 64, "(vLLM 0.33.0, the newest that Lowbit knows"),
        ("vllm/vllm-openai:v0.99.0", "the newest that Lowbit knows"),
        ("vllm/vllm-openai:v0.33.0.1", "the newest that Lowbit knows"),
        ("v0.32.0:5000/vllm", "(vLLM 0.33.0, the newest that Lowbit knows"),
    ],
)
def test_the_reason_says_by_which_version_it_was_judged(image: str, says: str) -> None:
    (offence,) = offences(["--middleware=x"], image)
    assert says in offence.why


def test_an_argument_that_this_version_does_not_have_is_refused_by_its_name() -> None:
    assert list(offences(["--enable-cascade-attn"], "vllm:v0.33.0")) == []
    (offence,) = offences(["--enable-cascade-attn"], "vllm:v0.32.0")
    assert "(vLLM 0.32.0)" in offence.why


def test_a_beginning_is_answered_with_the_whole_name() -> None:
    (offence,) = offences(["--max-num-s", "4"], "vllm:v0.33.0")
    assert "--max-num-scheduled-tokens, --max-num-seqs" in offence.why
