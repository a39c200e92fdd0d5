"""The bucket that a folder is pushed to: found, or made as safe as its server can."""

import os
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.version import VERSION

S3Client: TypeAlias = Any  # boto3 makes its clients' classes as it runs
TAGS = {"created-by": "tilepipe", "tilepipe-version": VERSION, "content": "tiles"}
CONNECTIONS = 64

_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401", "403"}


def connect(*, attempts: int) -> S3Client:
    """A client of the S3 that the environment names, with the usual chain of credentials.

    Args:
        attempts: how often a request is sent at most; boto3 spreads them with jitter.

    Returns:
        The client, which many threads may use.

    Raises:
        ParameterError: AWS_ENDPOINT_URL is no address.
        StorageError: there are no credentials.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    config = Config(
        connect_timeout=3,
        read_timeout=60,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        # MinIO and its like answer to paths, unless their DNS is set up for buckets.
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Checksums as trailers, boto3's new default, are unknown to many servers that are not Amazon's.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        region = region or session.region_name or "us-east-1"
        client = session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
    except ValueError:  # botocore's word for a bad address
        raise ParameterError(
            f"AWS_ENDPOINT_URL must be http://<host> or https://<host>. Received: {_endpoint(endpoint)!r}."
        ) from None
    except BotoCoreError as error:
        raise explained(error, endpoint, "") from None
    if credentials is None:
        raise _no_credentials()
    return client


def find_or_make(client: S3Client, bucket: str, note: Callable[[str], None]) -> bool:
    """Make sure that there is a bucket.

    One that is there stays as it is. One that is made is versioned, encrypted, closed to the public and tagged, as
    far as its server can do that.

    Args:
        client: of `connect`.
        bucket: its name.
        note: told once for each thing that the server does not do.

    Returns:
        Whether it has been made.

    Raises:
        StorageError: the server cannot be reached, or refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    place = f"s3://{bucket}"
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) not in {"404", "NoSuchBucket"}:
            raise explained(error, client.meta.endpoint_url, place) from None
    except BotoCoreError as error:
        raise explained(error, client.meta.endpoint_url, place) from None
    else:
        _look_at(client, bucket, note)
        return False
    region = client.meta.region_name
    constraint = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=bucket, **constraint)
    except ClientError as error:
        if _code(error) != "BucketAlreadyOwnedByYou":  # made at the same moment by another push
            raise explained(error, client.meta.endpoint_url, place) from None
    except BotoCoreError as error:
        raise explained(error, client.meta.endpoint_url, place) from None
    _make_safe(client, bucket, note)
    return True


def _make_safe(client: S3Client, bucket: str, note: Callable[[str], None]) -> None:
    from botocore.exceptions import ClientError

    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    settings: list[tuple[str, Callable[[], object]]] = [
        (
            "keeps no versions of its objects",
            lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        ),
        (
            "does not encrypt by default",
            lambda: client.put_bucket_encryption(
                Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [encryption]}
            ),
        ),
        (
            "has no block of public access",
            lambda: client.put_public_access_block(
                Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True)
            ),
        ),
        (
            "has no tags",
            lambda: client.put_bucket_tagging(
                Bucket=bucket, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in TAGS.items()]}
            ),
        ),
    ]
    for lacking, apply in settings:
        try:
            apply()
        except ClientError as error:
            note(f"s3://{bucket} {lacking}: its server answers {_code(error)}")


def _look_at(client: S3Client, bucket: str, note: Callable[[str], None]) -> None:
    """Say of a bucket that was there before what may cost its owner data."""
    from botocore.exceptions import ClientError

    try:
        is_versioned = client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except ClientError:  # a policy may well forbid to ask
        return
    if not is_versioned:
        note(f"s3://{bucket}, which was there before, keeps no versions: a changed file replaces the one that is there")


def explained(error: Exception, endpoint: str | None, place: str) -> StorageError:
    """An error of boto3 in our words, without the request."""
    from botocore import exceptions

    server = _endpoint(endpoint) or "Amazon S3"
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return _no_credentials()
    if isinstance(error, exceptions.ClientError):
        code = _code(error)
        if code in _REFUSED:
            return StorageError(
                f"The credentials must be allowed to make or fill the bucket. Received: {code} from {server} for "
                f"{place}. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the bucket's policy, and whose it is."
            )
        if code in {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}:
            return StorageError(
                f"AWS_REGION must be the bucket's. Received: {code} from {server} for {place}. Set AWS_REGION."
            )
        if code == "BucketAlreadyExists":
            return StorageError(
                f"A bucket's name must be free, or the bucket yours. Received: {place}, which somebody else has at "
                f"{server}. Take another name."
            )
        return StorageError(f"A server of S3 must take what is sent. Received: {code} from {server} for {place}.")
    return StorageError(
        f"A server of S3 must be reachable. Received: {type(error).__name__} from {server} for {place}. Check "
        "AWS_ENDPOINT_URL and AWS_REGION, and that the server runs; what has arrived is not sent again."
    )


def _no_credentials() -> StorageError:
    return StorageError(
        "Pushing needs credentials. Received: none from the environment, a profile or this machine's role. Set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a server that is not Amazon's)."
    )


def _code(error: Any) -> str:  # noqa: ANN401 - botocore.exceptions.ClientError, which is imported late
    return str(error.response.get("Error", {}).get("Code", "an error without a code"))


def _endpoint(endpoint: str | None) -> str:
    return re.sub(r"//[^/@\s]*@", "//", endpoint or "")
