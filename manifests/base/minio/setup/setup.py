"""Create tilepipe's buckets and their users; idempotent.

    python3 setup.py storage.yaml

The file defines the buckets and the rights of the users. The server and its administrator come from
`AWS_ENDPOINT_URL`, `AWS_REGION`, `MINIO_ROOT_USER` and `MINIO_ROOT_PASSWORD`. The keys of a user come from the folder
of its name in `CREDENTIALS` (default: /credentials), where the Secret of that name is mounted. Keys that are no longer
in a Secret lose their access; to rotate keys, change the Secret and run this again.
"""

import contextlib
import http.client
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
import yaml
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials import StaticProvider
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.versioningconfig import VersioningConfig

logger = logging.getLogger("tilepipe.setup")

WAIT_SECONDS = 300


def wait_for_server(endpoint: str, wait_seconds: float = WAIT_SECONDS) -> None:
    """Wait until MinIO answers, which the first `kubectl apply` starts at the same time.

    Raises:
        TimeoutError: it does not answer in time.
    """
    url = urlsplit(endpoint)
    connection_type = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with contextlib.closing(connection_type(url.netloc, timeout=5)) as connection:
                connection.request("GET", "/minio/health/ready")
                answer: object = connection.getresponse().status
            if answer == http.client.OK:
                return
        except OSError as error:
            answer = error
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"MinIO must answer at AWS_ENDPOINT_URL. Received: {endpoint}, which answers: {answer}. "
                "See `kubectl describe statefulset tilepipe-minio`."
            )
        time.sleep(2)


def make_bucket(client: Minio, bucket: str, old_versions_kept_days: int) -> None:
    """Create a bucket if it is missing, and set how long its old versions are kept."""
    if not client.bucket_exists(bucket_name=bucket):
        client.make_bucket(bucket_name=bucket)
    client.set_bucket_versioning(bucket_name=bucket, config=VersioningConfig(ENABLED))
    rule = Rule(
        status=ENABLED,
        rule_filter=Filter(prefix=""),
        rule_id="remove-old-versions",
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=old_versions_kept_days),
        # Otherwise the markers of deleted objects stay forever and slow down listings.
        expiration=Expiration(expired_object_delete_marker=True),
    )
    client.set_bucket_lifecycle(bucket_name=bucket, config=LifecycleConfig([rule]))
    logger.info("Bucket %s exists; old versions are kept for %d days.", bucket, old_versions_kept_days)


def policy_document(statements: list[dict[str, list[str]]]) -> dict[str, Any]:
    """Build an S3 policy from statements about buckets or the objects in them."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": statement["actions"],
                "Resource": [f"arn:aws:s3:::{bucket}" for bucket in statement.get("buckets", [])]
                + [f"arn:aws:s3:::{bucket}/*" for bucket in statement.get("objects", [])],
            }
            for statement in statements
        ],
    }


def make_user(admin: MinioAdmin, name: str, statements: list[dict[str, list[str]]], keys: Path) -> None:
    """Attach one policy to the keys in a mounted Secret, and remove users with earlier keys."""
    access_key, secret_key = (
        (keys / name).read_text(encoding="utf-8").strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    )
    admin.policy_add(name, policy=policy_document(statements))
    admin.user_add(access_key, secret_key)
    admin.policy_set(name, user=access_key)
    for user, details in json.loads(admin.user_list()).items():
        if details.get("policyName") == name and user != access_key:
            admin.user_remove(user)
            logger.info("Earlier keys of user %s were removed.", name)
    logger.info("User %s exists.", name)


def main(file: Path, credentials: Path) -> None:
    """Create all buckets and users in the file."""
    storage = yaml.safe_load(file.read_text(encoding="utf-8"))
    endpoint, region = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]
    wait_for_server(endpoint)
    url = urlsplit(endpoint)
    root = StaticProvider(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    secure = url.scheme == "https"
    with urllib3.PoolManager(timeout=30, retries=urllib3.Retry(5, backoff_factor=0.5)) as http_client:
        client = Minio(endpoint=url.netloc, credentials=root, region=region, secure=secure, http_client=http_client)
        for bucket, settings in storage["buckets"].items():
            make_bucket(client, bucket, **settings)
        admin = MinioAdmin(endpoint=url.netloc, credentials=root, region=region, secure=secure, http_client=http_client)
        for name, statements in storage["users"].items():
            make_user(admin, name, statements, credentials / name)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(Path(sys.argv[1]), Path(os.environ.get("CREDENTIALS", "/credentials")))
    except TimeoutError as error:
        sys.exit(str(error))
