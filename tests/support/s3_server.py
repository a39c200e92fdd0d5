"""Address and credentials of a real S3 server for tests."""

from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class S3Server:
    """Address and credentials of a server."""

    endpoint: str
    access_key: str
    secret_key: str

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment variables that name this server."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret_key)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(name, raising=False)

    def make_bucket(self, name: str):
        """Create a bucket; returns it as a boto3 Bucket."""
        bucket = self._session().resource("s3", endpoint_url=self.endpoint).Bucket(name)
        bucket.create()
        return bucket

    def temporary_credentials(self) -> dict[str, Any]:
        """Have the server issue credentials with a session token, as its answer states them."""
        sts = self._session().client("sts", endpoint_url=self.endpoint)
        role = {"RoleArn": "arn:x:ignored:by:minio:", "RoleSessionName": "tests"}
        return sts.assume_role(**role, DurationSeconds=900)["Credentials"]

    def _session(self):
        import boto3

        return boto3.Session(self.access_key, self.secret_key, region_name="us-east-1")
