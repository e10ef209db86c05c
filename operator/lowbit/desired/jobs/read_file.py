"""The Job that `lowbit report` makes: it prints one file of the store into its log, compressed, in lines of base64.

It is made in the name of whoever asks, and belongs to no object of Lowbit's. Plain programs read the file, so that an
image of any version serves. It may read the store and nothing else: no API token, and the claim is read-only.
"""

from __future__ import annotations

from typing import Final

from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.paths import STORE_PATH
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions
from lowbit.desired.common import (
    Manifest,
    container_security,
    environment,
    placement,
    pod_security,
    without_empty,
    worker_environment,
)
from lowbit.desired.context import Context
from lowbit.desired.volumes import (
    Mount,
    bucket_prefix,
    ca_bundle,
    claim,
    pod_volumes,
    scratch,
    store_credentials,
    volume_mounts,
)

CONTAINER: Final = "read"
DEADLINE_SECONDS: Final = 300
KEPT_SECONDS: Final = 300
"""Until Kubernetes removes a Job that nobody has deleted."""
RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
MANAGED_BY: Final = "kubectl-lowbit"
"""Not the operator's own label: it watches these Jobs no more than anybody's."""
FROM_CLAIM: Final = """\
[ -r "$1" ] || { echo "the store has no file $1" >&2; exit 66; }
gzip -nc "$1" | base64
"""
FROM_BUCKET: Final = """\
import base64, gzip, os, pathlib, sys
import boto3, botocore.config
bucket, key, endpoint, region, secrets = sys.argv[1:6]
names = {"accessKeyId": "aws_access_key_id", "secretAccessKey": "aws_secret_access_key",
         "sessionToken": "aws_session_token"}
keys = {names[path.name]: path.read_text().strip() for path in pathlib.Path(secrets).iterdir() if path.name in names
        } if secrets else {}
config = botocore.config.Config(s3={"addressing_style": "path" if endpoint else "auto"})
client = boto3.client("s3", endpoint_url=endpoint or None, region_name=region or "us-east-1", config=config,
                      verify=os.environ.get("AWS_CA_BUNDLE"), **keys)
sys.stdout.write(base64.encodebytes(gzip.compress(client.get_object(Bucket=bucket, Key=key)["Body"].read())).decode())
"""


def read_file_job(context: Context, name: str, key: str, image: str, options: JobOptions) -> Manifest:
    """The Job that prints the store's file under `key`. options: placement of a Job that can reach the store."""
    platform, store = context.platform, context.store
    mounts = [*store_readable(store), *scratch(CONTAINER), *ca_bundle(platform)]
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": command(context, key),
        "env": environment(worker_environment(platform)),
        "resources": RESOURCES,
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volume_mounts(mounts),
    }
    labels = {"app.kubernetes.io/managed-by": MANAGED_BY, "app.kubernetes.io/component": "report"}
    pod = {
        "restartPolicy": "Never",
        "securityContext": pod_security(platform),
        "containers": [container],
        "volumes": pod_volumes(mounts),
    }
    annotations = platform.job_pod_annotations | dict(options.annotations)
    template = without_empty({"labels": platform.job_pod_labels | labels, "annotations": annotations})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": context.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": template, "spec": pod | placement(options, _plain(platform))},
        },
    }


def _plain(platform: Platform) -> Platform:
    """Without the priority of Jobs that compute."""
    return platform.model_copy(update={"priority_class_name": None})


def store_readable(store: ModelStoreSpec) -> list[Mount]:
    """The store, read-only: the claim, or the Secret with the bucket's credentials."""
    if store.pvc is not None:
        return [claim(store.pvc.claim_name, STORE_PATH, read_only=True)]
    return store_credentials(store)


def command(context: Context, key: str) -> list[str]:
    """What prints the file. Raises ValueError for a store that is neither pvc nor s3."""
    store = context.store
    if store.pvc is not None:
        parts = [STORE_PATH, store.pvc.path or "", key]
        path = "/".join(part.strip("/") for part in parts if part)
        return ["sh", "-c", FROM_CLAIM, CONTAINER, f"/{path}"]
    if store.s3 is None:
        raise ValueError("a ModelStore has exactly one of pvc and s3")
    s3 = store.s3
    whole = "/".join(part for part in (bucket_prefix(s3, context.namespace), key) if part)
    secrets = store_credentials(store)[0].path if store_credentials(store) else ""
    return ["python3", "-c", FROM_BUCKET, s3.bucket, whole, s3.endpoint or "", s3.region or "", secrets]
