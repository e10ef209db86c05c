"""Every path in the model store."""

from __future__ import annotations

from typing import Literal

Kind = Literal["sources", "artifacts"]


def hexadecimal(digest: str) -> str:
    """The 64 digits of a digest, without sha256:."""
    return digest.removeprefix("sha256:")


def folder_key(kind: Kind, digest: str) -> str:
    """Key of the folder with a model's files."""
    return f"{kind}/{hexadecimal(digest)}"


def file_list_key(kind: Kind, digest: str) -> str:
    """Key of the file list, which makes the folder count."""
    return f"manifests/{kind}/{hexadecimal(digest)}.json"


def dataset_key(digest: str) -> str:
    """Key of a dataset."""
    return f"datasets/{hexadecimal(digest)}/data.jsonl"


def dataset_report_key(digest: str) -> str:
    """Key of what the files of a dataset were taken for."""
    return f"datasets/{hexadecimal(digest)}/report.json"


def calibration_set_key(artifact_hash: str) -> str:
    """Key of the texts that the quantizer read, by the hash of the artifact's inputs."""
    return f"calibrations/{artifact_hash}/calibration.jsonl"


def artifact_index_key(artifact_hash: str) -> str:
    """Key of the quantizer's report, by the hash of the artifact's inputs."""
    return f"index/artifacts/{artifact_hash}.json"


def quant_log_key(artifact_hash: str) -> str:
    """Key of the quantizer's log, a row for each module."""
    return f"index/artifacts/{artifact_hash}.quant_log.csv"


def facts_index_key(digest: str) -> str:
    """Key of a model's facts, which can so be read without a download of the model."""
    return f"index/facts/{hexadecimal(digest)}.json"


def result_key(evaluation: str) -> str:
    """Key of the result, which marks the evaluation as finished."""
    return f"evaluations/{evaluation}/result.json"


def attempts_folder(source: str) -> str:
    """Key of the folder with one entry for each manifest that was tried on an original."""
    return f"attempts/{hexadecimal(source)}"


def attempt_key(source: str, input_hash: str) -> str:
    """Key of the entry of one manifest."""
    return f"{attempts_folder(source)}/{input_hash}.json"


def samples_key(key: str) -> str:
    """Key of a model's samples of a suite."""
    return f"measured/{key}/samples.npz"


def marker_key(key: str) -> str:
    """Key of the marker that the samples are complete, with the version of their engine."""
    return f"measured/{key}/suite.json"


def details_key(evaluation: str) -> str:
    """Key of the comparison of every unit."""
    return f"evaluations/{evaluation}/details.npz"


def report_key(evaluation: str) -> str:
    """Key of the report for people."""
    return f"evaluations/{evaluation}/report.html"


def showcase_key(key: str) -> str:
    """Key of the page with the answers of what serves."""
    return f"showcases/{key}/showcase.html"


def report_json_key(evaluation: str) -> str:
    """Key of the report for programs."""
    return f"evaluations/{evaluation}/report.json"


def report_text_key(evaluation: str) -> str:
    """Key of the report as plain text."""
    return f"evaluations/{evaluation}/report.txt"


def compared_key(evaluation: str) -> str:
    """Key of every sample that both models have answered."""
    return f"evaluations/{evaluation}/compared.jsonl"
