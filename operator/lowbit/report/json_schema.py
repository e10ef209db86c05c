"""The JSON schema of report.json, for docs/reference."""

from __future__ import annotations

import json
from typing import Final

from lowbit.report.model import VERSION, Report

FILE: Final = "report.schema.json"


def files() -> dict[str, str]:
    """The schema, by file name."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made from operator/lowbit/report/model.py by `lowbit reference docs/reference`.",
        "$id": f"lowbit.dev/report/v{VERSION}",
    }
    return {FILE: json.dumps(head | schema, indent=1) + "\n"}
