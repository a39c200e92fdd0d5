"""Address and credentials of a real S3 server for tests."""

import socket
from dataclasses import dataclass

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
        import boto3

        s3 = boto3.resource(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )
        bucket = s3.Bucket(name)
        bucket.create()
        return bucket


def free_ports(count: int) -> list[int]:
    """Return ports that are free on the loopback address."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
