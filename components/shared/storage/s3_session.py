"""S3 settings, clients and errors, the same for every client library: obstore, boto3 and libcurl.

Settings come from the environment (`SETTINGS`), else from the AWS configuration files. An empty variable counts as
unset, as in a pod with an optional Secret. Messages never contain credentials.
"""

import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeAlias

from tilepipe.components.shared.errors import SourceError, StorageError, TilepipeError

S3Client: TypeAlias = Any  # boto3 creates the classes of its clients at run time

SETTINGS = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_CLOCK_SECONDS = 5
_LARGEST_CLOCK_DIFFERENCE = timedelta(minutes=14)
"""Servers accept signatures that are up to 15 minutes old."""

OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def setting(*names: str) -> str:
    """Return the value of the first environment variable that is set; empty without any."""
    return next((value for name in names if (value := os.environ.get(name))), "")


def endpoint() -> str:
    """Return the endpoint from the environment; empty for Amazon S3.

    Raises:
        StorageError: the endpoint is not an address.
    """
    url = setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if url and not re.match(r"https?://[^/]", url):
        shown = re.sub(r"\S*@", "", url)
        hint = "" if "://" in shown else f" Write http://{shown} or https://{shown}."
        raise StorageError(f"AWS_ENDPOINT_URL must be http://<host> or https://<host>. Received: {shown!r}.{hint}")
    return url


def region(configured: str | None = None) -> str:
    """Return the region from the environment, else the one of the AWS configuration files, else `us-east-1`."""
    return setting("AWS_REGION", "AWS_DEFAULT_REGION") or configured or "us-east-1"


def ca_file() -> str:
    """Return the file with the certificates of trusted authorities; empty for the defaults of each client.

    Raises:
        StorageError: AWS_CA_BUNDLE is not a file.
    """
    bundle, default = setting("AWS_CA_BUNDLE"), setting("SSL_CERT_FILE")
    if bundle and not Path(bundle).is_file():
        raise StorageError(f"AWS_CA_BUNDLE must be a file with certificates. Received: {bundle!r}.")
    return bundle or (default if Path(default).is_file() else "")


def connect(
    place: str,
    *,
    attempts: int,
    connections: int = 10,
    connect_seconds: float = 5,
    read_seconds: float = 60,
    anonymous: bool = False,
) -> S3Client:
    """Create a boto3 client with the usual chain of credentials.

    Args:
        place: address for errors, such as `s3://bucket/prefix`.
        attempts: maximum number of times that a request is sent; boto3 spreads them with jitter.
        connections: maximum number of open connections. Defaults to 10.
        connect_seconds: limit for connecting. Defaults to 5.
        read_seconds: limit for each wait for data. Defaults to 60.
        anonymous: True sends unsigned requests if there are no credentials. Defaults to False: requests then fail.

    Returns:
        The client, which is safe to share among threads.

    Raises:
        StorageError: the endpoint, the region or the AWS configuration is invalid.
    """
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    url = endpoint()
    try:
        session = boto3.Session()
        config = Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=connections,
            signature_version=UNSIGNED if anonymous and not session.get_credentials() else None,
            # MinIO and similar servers expect path style, unless their DNS is set up for buckets.
            s3={"addressing_style": "path" if url else "auto"},
            # Many servers other than Amazon S3 do not support checksums as trailers, boto3's default.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return session.client(
            "s3",
            endpoint_url=url or None,
            region_name=region(session.region_name),
            verify=ca_file() or None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:  # ValueError: an invalid endpoint
        raise translate(error, place) from None


@dataclass(frozen=True, slots=True)
class Cause:
    """One row of the error table."""

    name: str
    error: type[TilepipeError]
    signs: str
    """Error codes of S3 servers, HTTP statuses, and names of exceptions of boto3, separated by spaces."""
    rule: str
    remedy: str
    pattern: str = ""
    """Regular expression that is searched in the text of errors without a known sign."""

    @property
    def is_refusal(self) -> bool:
        """True if the server rejected the credentials or the request."""
        return self.name in {"denied", "key", "secret", "expired", "clock"}


_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_UNREACHABLE = Cause(
    "unreachable",
    StorageError,
    "",
    "An S3 server must be reachable.",
    "Check AWS_ENDPOINT_URL and AWS_REGION, and that the server is running.",
)
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; XMinio... are codes of MinIO,
# XAdmin... of versitygw.
CAUSES = (
    Cause(
        "range",
        SourceError,
        "InvalidRange 416",
        "A range must lie within its object.",
        "The object is truncated or has changed: read the source again.",
    ),
    Cause(
        "bucket",
        SourceError,
        "NoSuchBucket",
        "A bucket must exist.",
        "Check its name, and that AWS_ENDPOINT_URL names its server.",
    ),
    Cause(
        "object",
        SourceError,
        "NoSuchKey NotFound NotFoundError FileNotFoundError 404",
        "An object must exist to be read.",
        "Check its address.",
    ),
    Cause(
        "key",
        StorageError,
        "InvalidAccessKeyId XAdminUserNotFound",
        "The S3 server must know the access key.",
        f"Check {_KEYS}, and that AWS_ENDPOINT_URL names the server that issued them.",
    ),
    Cause(
        "secret",
        StorageError,
        "SignatureDoesNotMatch",
        "The secret key must belong to the access key.",
        f"Check {_KEYS}.",
    ),
    Cause(
        "expired",
        StorageError,
        "ExpiredToken ExpiredTokenException InvalidToken InvalidTokenId TokenRefreshRequired TokenRetrievalError "
        "SSOTokenLoadError UnauthorizedSSOTokenError",
        "Temporary credentials must be valid.",
        f"Renew them, and set AWS_SESSION_TOKEN together with {_KEYS}.",
    ),
    Cause(
        "clock",
        StorageError,
        "RequestTimeTooSkewed RequestExpired",
        "The clock of this machine must agree with the S3 server's.",
        "Correct the clock.",
    ),
    Cause(
        "credentials",
        StorageError,
        "NoCredentialsError PartialCredentialsError",
        "S3 needs complete credentials.",
        f"Set {_KEYS}, or AWS_PROFILE; and AWS_ENDPOINT_URL for a server other than Amazon S3.",
        "Missing (AccessKeyId|SecretAccessKey)",
    ),
    Cause(
        "profile",
        StorageError,
        "ProfileNotFound ConfigParseError CredentialRetrievalError ConfigNotFound",
        "The AWS configuration files must provide the credentials.",
        "Correct AWS_PROFILE or the files.",
    ),
    Cause(
        "region",
        StorageError,
        "301 PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException InvalidRegionError",
        "AWS_REGION must be the region of the bucket.",
        "Set AWS_REGION.",
    ),
    Cause(
        "taken",
        StorageError,
        "BucketAlreadyExists",
        "The name of a bucket must be unused, or the bucket be yours.",
        "Choose another name.",
    ),
    Cause(
        "below_object",
        StorageError,
        "XMinioParentIsObject ObjectParentIsFile ParentIsObject",
        "A key must not lie below another object, as a file is not a folder.",
        "Choose another prefix, or delete the object that has the name of the folder.",
    ),
    Cause(
        "full",
        StorageError,
        "XMinioStorageFull XMinioAdminBucketQuotaExceeded QuotaExceeded InsufficientStorage 507",
        "An S3 server must have space for what is written.",
        "Free some space or raise the quota of the bucket.",
    ),
    Cause(
        "denied",
        StorageError,
        "AccessDenied AllAccessDisabled AccountProblem PermissionDeniedError UnauthenticatedError 401 403",
        "The credentials must permit the request.",
        f"Check {_KEYS}, and that the bucket's policy allows {{action}}.",
    ),
    Cause(
        "tls",
        StorageError,
        "SSLError",
        "The certificate of an S3 server must be valid and trusted.",
        "Set AWS_CA_BUNDLE to a file with the certificate of its authority, and check the host and the scheme in "
        "AWS_ENDPOINT_URL.",
        r"InvalidCertificate|CERTIFICATE_VERIFY_FAILED|InvalidContentType|corrupt message",
    ),
    Cause(
        "busy",
        StorageError,
        "SlowDown ServiceUnavailable InternalError RequestTimeout XMinioServerNotInitialized 500 502 503 504",
        "An S3 server must be ready for requests.",
        "Check its load and its logs, and run again.",
    ),
)
_BY_SIGN = {sign: cause for cause in CAUSES for sign in cause.signs.split()}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Cause of an error of an S3 client."""

    cause: Cause
    answer: str
    """The error code of the server, or the first line of the client's error, without credentials."""

    @property
    def server(self) -> str:
        """The server of the environment, without credentials."""
        return _without_credentials(setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")) or "Amazon S3"


def diagnose(error: Exception) -> Diagnosis:
    """Find the cause of an error of boto3 or obstore."""
    text = str(error)
    response = getattr(error, "response", None) or {}
    stated = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d{3})", text)
    code = stated[1] if stated else str(response.get("Error", {}).get("Code", ""))
    signs = [
        code,
        type(error).__name__,
        status[1] if status else str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")),
    ]
    cause = next((_BY_SIGN[sign] for sign in signs if sign in _BY_SIGN), None)
    if cause is None:
        cause = next((each for each in CAUSES if each.pattern and re.search(each.pattern, text)), None)
    if cause is not None and cause.name == "denied" and code in {"", "403"} and _clock_differs():
        cause = _BY_SIGN["RequestTimeTooSkewed"]  # which the answer to a HEAD request cannot state: it has no body
    lines = text.strip().splitlines() or [type(error).__name__]
    return Diagnosis(cause or (_other(code) if code else _UNREACHABLE), code or _without_credentials(lines[0])[:300])


def translate(error: Exception, place: str, *, action: str = "the request", attempts: int = 0) -> TilepipeError:
    """Translate an error of boto3 or obstore into one of tilepipe.

    Args:
        error: the error.
        place: address that was accessed.
        action: S3 action that a policy must allow, such as `s3:ListBucket`. Defaults to a general phrase.
        attempts: number of times that the request was sent, for the message. Defaults to 0, unknown.

    Returns:
        The error to raise: rule, received, remedy.
    """
    found = diagnose(error)
    after = f", after {attempts} attempts" if attempts and found.cause.name in {"unreachable", "busy"} else ""
    received = f"{place} ({found.answer.rstrip('. ')} at {found.server}{after})"
    return found.cause.error(f"{found.cause.rule} Received: {received}. {found.cause.remedy.format(action=action)}")


def _clock_differs() -> bool:
    """Return whether the server's clock differs so much from this machine's that it refuses signatures."""
    address = setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(address, timeout=_CLOCK_SECONDS) as answer:  # noqa: S310 - the scheme is checked
            stated = answer.headers["Date"]
    except urllib.error.HTTPError as error:
        stated = error.headers["Date"]
    except (OSError, ValueError):
        return False
    try:
        return abs(parsedate_to_datetime(stated or "") - datetime.now(UTC)) > _LARGEST_CLOCK_DIFFERENCE
    except (ValueError, TypeError):  # no date, or one without a time zone
        return False


def _other(code: str) -> Cause:
    return Cause("other", StorageError, code, "An S3 server must accept the request.", "See the server's logs.")


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
