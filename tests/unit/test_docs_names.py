"""Names in the documentation are those of the product: fields, metrics, files, values of the chart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowbit.app.metrics import Metrics
from tests.unit.docs_pages import FENCE, PAGES, ROOT, SPAN

OWN_PAGES = [page for page in PAGES if page.parent.name != "reference"]
LOWBIT = ROOT / "operator" / "lowbit"
ROOMS = {path.name for path in LOWBIT.iterdir() if path.is_dir()}
TOP = {path.name for path in ROOT.iterdir()}


def spans(page: Path) -> list[str]:
    """Everything that is set as code in the prose of a page."""
    return SPAN.findall(FENCE.sub("", page.read_text()))


def fields() -> Iterator[tuple[str, str]]:
    for page in OWN_PAGES:
        for span in spans(page):
            yield from ((page.name, found) for found in re.findall(r"(?<![\w.])spec\.[\w.\[\]]*\w", span))


def schema(kind: str) -> dict[str, Any]:
    definition = yaml.safe_load((ROOT / "crds" / f"{kind}.yaml").read_text())
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


@pytest.mark.parametrize(("page", "field"), sorted(set(fields())))
def test_every_field_that_is_named_exists(page: str, field: str) -> None:
    node = schema("quantizedmodels")
    for part in field.replace("[]", "").split("."):
        node = node.get("items", node)
        assert part in node["properties"], f"{page}: {field} has no {part}; there are {', '.join(node['properties'])}"
        node = node["properties"][part]


def test_every_metric_that_is_named_exists() -> None:
    known = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    known |= {family.name for family in Metrics().registry.collect()}
    known |= {f"{name}_total" for name in known}
    source = (LOWBIT / "app" / "metrics.py").read_text()
    known |= set(re.findall(r'"(lowbit_\w+)"', source))
    named = {span for page in OWN_PAGES for span in spans(page) if re.fullmatch(r"lowbit_[a-z_]+", span)}
    assert named
    assert named <= known


def test_every_file_and_folder_that_is_named_exists() -> None:
    missing = {f"{page.name}: {span}" for page in OWN_PAGES for span in spans(page) if not there(span)}
    assert missing == set()


def there(span: str) -> bool:
    """Whether a path is there, from the root or from the operator's package; what is no path counts as there."""
    if not re.fullmatch(r"[\w./*-]+", span):
        return True
    first = span.split("/", maxsplit=1)[0]
    if "/" not in span:
        return not span.endswith(".py") or any(LOWBIT.rglob(span)) or any((ROOT / "tests").rglob(span))
    known = [place for place, names in ((ROOT, TOP), (LOWBIT, ROOMS)) if first in names]
    return not known or any(any(place.glob(span.rstrip("/"))) for place in known)


def test_every_value_of_the_chart_that_is_named_exists() -> None:
    values = json.loads((ROOT / "charts" / "lowbit" / "values.schema.json").read_text())
    platform = values["properties"]["platform"]["properties"]
    for page in OWN_PAGES:
        for span in spans(page):
            if found := re.fullmatch(r"platform\.(\w+)", span):
                assert found[1] in platform, f"{page.name} names {span}"
