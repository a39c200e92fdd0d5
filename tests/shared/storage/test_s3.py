"""Objects that a real MinIO answers ahead of time, with credentials of every kind."""

import datetime
import json
import sys
import uuid

import boto3
import pytest

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import StorageError
from tilepipe.components.shared.storage import s3, s3_session, storage
from tilepipe.components.shared.storage.curl_connection import CurlConnection

BODY = bytes(range(256)) * 40


@pytest.fixture
def bucket(minio_server, monkeypatch, tmp_path):
    """A bucket with one object, on the only server that the environment names, without credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in (*s3_session.SETTINGS, *s3_session.OTHER_CREDENTIALS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", minio_server.endpoint)
    for cached in (s3._open_store, s3._open_server, s3._session, s3._same_as_obstores):
        cached.cache_clear()
    bucket = minio_server.make_bucket(f"credentials-{uuid.uuid4().hex[:8]}")
    bucket.put_object(Key="x", Body=BODY)
    return bucket


@pytest.fixture
def answers():
    """Function that serves the results of a function, one per request; returns the address."""
    servers = []

    def serve(answer):
        class Handler(QuietHandler):
            def do_GET(self):
                content = answer().encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

        servers.append(LoopbackServer(Handler))
        return servers[-1].url

    yield serve
    for server in servers:
        server.close()


def read_ahead(bucket, monkeypatch):
    """Read the object; only an answer that was requested ahead of time counts."""
    with monkeypatch.context() as patched:
        patched.setattr(s3, "_locate", None)
        return storage.prefetch_reader([f"s3://{bucket.name}/x"])(f"s3://{bucket.name}/x")


def write_profile(folder, name, lines):
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / "credentials").write_text(f"[{name}]\n" + "".join(f"{key} = {lines[key]}\n" for key in lines))


def expiring(given, minutes):
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    return {
        "AccessKeyId": given["AccessKeyId"],
        "SecretAccessKey": given["SecretAccessKey"],
        "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def test_the_key_of_a_profile(bucket, minio_server, monkeypatch, tmp_path):
    keys = {"aws_access_key_id": minio_server.access_key, "aws_secret_access_key": minio_server.secret_key}
    write_profile(tmp_path, "work", keys)
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert storage.requests_ahead(f"s3://{bucket.name}/x")
    assert read_ahead(bucket, monkeypatch) == BODY


def test_a_public_bucket_is_read_without_a_signature(bucket, minio_server, monkeypatch):
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket.name}/*"],
    }
    bucket.Policy().put(Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert read_ahead(bucket, monkeypatch) == BODY
    monkeypatch.setenv("all_proxy", minio_server.endpoint)  # through libcurl, to the same server
    s3._open_server.cache_clear()
    assert isinstance(s3._present_server()._connect(), CurlConnection)
    assert read_ahead(bucket, monkeypatch) == BODY


def test_the_credentials_of_a_pod_are_renewed(bucket, minio_server, answers, monkeypatch):
    issued = []

    def issue():
        issued.append(minio_server.temporary_credentials())
        return json.dumps(expiring(issued[-1], 5) | {"Token": issued[-1]["SessionToken"]})

    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", answers(issue))
    assert read_ahead(bucket, monkeypatch) == BODY
    before = s3._present_server()
    assert len(issued) > 1, "credentials that expire soon are renewed each time"
    assert read_ahead(bucket, monkeypatch) == BODY
    assert s3._present_server() is not before


def test_the_role_of_a_service_account(bucket, minio_server, answers, monkeypatch, tmp_path):
    def assumed():
        given = minio_server.temporary_credentials()
        fields = "".join(f"<{key}>{given[key]}</{key}>" for key in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        return (
            f'<AssumeRoleWithWebIdentityResponse xmlns="{namespace}"><AssumeRoleWithWebIdentityResult><Credentials>'
            f"{fields}<Expiration>{expiring(given, 60)['Expiration']}</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )

    (tmp_path / "token").write_text("of-the-service-account")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/tiles")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", answers(assumed))
    assert read_ahead(bucket, monkeypatch) == BODY


def test_nothing_is_requested_ahead_where_boto3_would_take_other_credentials(
    bucket, answers, minio_server, monkeypatch, tmp_path
):
    """For boto3, the default profile comes before the role of a pod; for obstore, it is the other way round."""
    write_profile(tmp_path, "default", {"aws_access_key_id": "of-the-profile", "aws_secret_access_key": "unknown-here"})
    given = minio_server.temporary_credentials()
    serve = answers(lambda: json.dumps(expiring(given, 60) | {"Token": given["SessionToken"]}))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", serve)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("of-the-pod")
    assert not storage.requests_ahead(f"s3://{bucket.name}/x")
    assert storage.prefetch_reader([f"s3://{bucket.name}/x"])(f"s3://{bucket.name}/x") == BODY


def test_tiles_on_the_local_disk_need_no_credentials(bucket, answers, monkeypatch, tmp_path):
    requests = []
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", answers(lambda: requests.append(1) or "{}"))
    (tmp_path / "x").write_bytes(BODY)
    assert storage.prefetch_reader([str(tmp_path / "x")])(str(tmp_path / "x")) == BODY
    assert requests == []


def test_a_profile_without_usable_credentials_is_one_clear_error(bucket, monkeypatch, tmp_path):
    write_profile(tmp_path, "work", {"credential_process": "false"})
    monkeypatch.setenv("AWS_PROFILE", "work")
    with pytest.raises(StorageError, match="Correct AWS_PROFILE"):
        storage.prefetch_reader([f"s3://{bucket.name}/x"])(f"s3://{bucket.name}/x")


def test_credentials_that_can_no_longer_be_renewed_are_one_clear_error(bucket, minio_server, monkeypatch, tmp_path):
    given = minio_server.temporary_credentials()
    issued = tmp_path / "issued.json"
    issued.write_text(json.dumps({"Version": 1} | expiring(given, 5) | {"SessionToken": given["SessionToken"]}))
    write_profile(tmp_path, "work", {"credential_process": f"cat {issued}"})
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert read_ahead(bucket, monkeypatch) == BODY
    issued.unlink()
    with pytest.raises(StorageError, match="Correct AWS_PROFILE"):
        storage.prefetch_reader([f"s3://{bucket.name}/x"])


def test_obstore_keeps_no_credentials_that_have_expired(bucket, minio_server, monkeypatch, tmp_path):
    """Roles may last for only 15 minutes."""
    given = minio_server.temporary_credentials()
    issued = {"Version": 1} | expiring(given, 15) | {"SessionToken": given["SessionToken"]}
    script = tmp_path / "issue.py"
    script.write_text(f"print({json.dumps(issued)!r})")
    write_profile(tmp_path, "work", {"credential_process": f"{sys.executable} {script}"})
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert storage.read_bytes(f"s3://{bucket.name}/x") == BODY
    provider, _ = s3._provider(boto3.Session(profile_name="work"))
    assert provider()["expires_at"] < datetime.datetime.fromisoformat(issued["Expiration"])
