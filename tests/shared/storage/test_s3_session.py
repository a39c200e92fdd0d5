import contextlib
import re
import time

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound, SSLError

from tests.support.loopback_server import LoopbackServer, QuietHandler
from tilepipe.components.shared.errors import SourceError, StorageError
from tilepipe.components.shared.storage import s3_session

SECRET = "a-secret-that-must-not-show"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in (*s3_session.SETTINGS, *s3_session.OTHER_CREDENTIALS):
        monkeypatch.delenv(name, raising=False)


def of_boto3(code, status=400):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "any")


def of_obstore(code, status=400):
    return OSError(
        f"Client error with status code: {status} Bad:\n<Error><Code>{code}</Code></Error>\nMessage: {SECRET}"
    )


@pytest.mark.parametrize("make", [of_boto3, of_obstore])
@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("AccessDenied", StorageError, "must permit the request.*bucket's policy allows s3:ListBucket"),
        ("NoSuchBucket", SourceError, "bucket must exist"),
        ("NoSuchKey", SourceError, "object must exist"),
        ("InvalidRange", SourceError, "must lie within its object"),
        ("InvalidAccessKeyId", StorageError, "must know the access key"),
        ("XAdminUserNotFound", StorageError, "must know the access key"),
        ("SignatureDoesNotMatch", StorageError, "secret key must belong"),
        ("ExpiredToken", StorageError, "AWS_SESSION_TOKEN"),
        ("RequestTimeTooSkewed", StorageError, "Correct the clock"),
        ("PermanentRedirect", StorageError, "Set AWS_REGION"),
        ("XMinioStorageFull", StorageError, "must have space"),
        ("SlowDown", StorageError, "must be ready.*after 3 attempts"),
        ("SomethingElse", StorageError, "must accept the request"),
    ],
)
def test_the_table(monkeypatch, make, code, error, message):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://user:{SECRET}@store")
    found = s3_session.translate(make(code), "s3://b/x", action="s3:ListBucket", attempts=3)
    assert type(found) is error
    assert re.search(rf"Received: s3://b/x \({code} at https://store", str(found))
    assert re.search(message, str(found))
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (of_boto3("403", 403), "must permit"),
        (of_boto3("404", 404), "must exist"),
        (OSError("Server returned non-2xx status code: 403 Forbidden: "), "must permit"),
        (NoCredentialsError(), "complete credentials"),
        (ProfileNotFound(profile="home"), r"profile \(home\).*Correct AWS_PROFILE"),
        (SSLError(endpoint_url="https://store", error="CERTIFICATE_VERIFY_FAILED"), "AWS_CA_BUNDLE"),
        (OSError("error sending request\n error: InvalidCertificate(UnknownIssuer)"), "AWS_CA_BUNDLE"),
        (OSError(f"connection refused by http://user:{SECRET}@store"), "must be reachable.*at Amazon S3"),
    ],
)
def test_errors_without_a_code(error, message):
    found = s3_session.translate(error, "s3://b")
    assert re.search(message, str(found))
    assert SECRET not in str(found)


@pytest.fixture
def dated_server(monkeypatch):
    """Return a function that starts a server, which refuses all requests, with a clock that differs by some minutes."""
    with contextlib.ExitStack() as stack:

        def start(minutes):
            class Refusing(QuietHandler):
                def do_GET(self):
                    self.send_error(403)

                def date_time_string(self, timestamp=None):
                    return super().date_time_string(time.time() + 60 * minutes)

            monkeypatch.setenv("AWS_ENDPOINT_URL", stack.enter_context(LoopbackServer(Refusing)).url)

        yield start


@pytest.mark.parametrize(
    "error", [of_boto3("403", 403), OSError("Server returned non-2xx status code: 403 Forbidden: ")]
)
@pytest.mark.parametrize(
    ("minutes", "message"), [(0, "must permit"), (-10, "must permit"), (20, "Correct the clock"), (-300, "clock")]
)
def test_a_refusal_without_a_code_may_come_from_the_clock(dated_server, error, minutes, message):
    dated_server(minutes)
    assert message in str(s3_session.translate(error, "s3://b"))


def test_a_sign_has_one_cause():
    signs = [sign for cause in s3_session.CAUSES for sign in cause.signs.split()]
    assert len(signs) == len(set(signs))


def test_where_settings_come_from(monkeypatch, tmp_path):
    assert (s3_session.endpoint(), s3_session.region(), s3_session.ca_file()) == ("", "us-east-1", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    assert s3_session.endpoint() == "http://any"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert s3_session.endpoint() == "http://s3"
    assert s3_session.region("of-the-profile") == "of-the-profile"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "default")
    assert s3_session.region("of-the-profile") == "default"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="must be a file"):
        s3_session.ca_file()
    (tmp_path / "none").write_text("")
    assert s3_session.ca_file() == str(tmp_path / "none")
