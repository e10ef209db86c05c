"""Names and paths that are legitimate in Kubernetes and in buckets are taken, and nothing leaves its root."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from lowbit.api.base import OtherName, RelativePath
from lowbit.api.references import PVCLocation
from lowbit.desired.volumes import data_claim

PATHS: TypeAdapter[str] = TypeAdapter(RelativePath)
NAMES: TypeAdapter[str] = TypeAdapter(OtherName)


@pytest.mark.parametrize(
    "path",
    [
        "models/smollm2", "date=2026-11-27/part=1/data.jsonl", ".cache/huggingface/hub/models--a--b/snapshots/0a1b",
        "a/.hidden/b", "runs/x+y@z~1", "_private", "v1.2.3/model",
    ],
)  # fmt: skip
def test_a_path_that_people_have_is_taken(path: str) -> None:
    assert PATHS.validate_python(path) == path


@pytest.mark.parametrize(
    "path", ["/etc", "..", "../x", "a/../b", "a/..", "", "a b", "a\\b", "a\n", "./a", "$(x)", "a;b"]
)
def test_a_path_that_leaves_its_root_or_means_something_to_a_shell_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        PATHS.validate_python(path)


def test_a_claim_with_dots_is_mounted_under_its_name() -> None:
    location = PVCLocation(claim_name="models.team-a.v1")
    mount = data_claim(location.claim_name)
    assert mount.path.endswith("/models.team-a.v1")
    assert "." not in mount.name, "the name of a pod's volume has none"


@pytest.mark.parametrize("name", ["A", "a..b", ".a", "a.", "-a", "a_b", "a" * 254, "a/b"])
def test_what_is_no_name_of_an_object_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)
