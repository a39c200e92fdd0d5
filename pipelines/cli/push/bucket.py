"""The bucket to which a folder is pushed; a new one is created with the protections that its server supports."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tilepipe.components.shared.storage import s3_session
from tilepipe.components.shared.storage.s3_session import S3Client
from tilepipe.components.shared.version import VERSION

TAGS = {"created-by": "tilepipe", "tilepipe-version": VERSION, "content": "tiles"}
CONNECTIONS = 64
_PROBE = "tilepipe-push"
"""Key of an object that shows whether the server can encrypt."""

_ACTIONS = "s3:ListBucket and s3:PutObject (s3:CreateBucket for a new bucket)"


def connect(place: str, *, attempts: int) -> S3Client:
    """Create a client for pushing.

    Args:
        place: address for errors.
        attempts: maximum number of times that a request is sent.

    Returns:
        The client, which is safe to share among threads.

    Raises:
        StorageError: the endpoint, the region or the AWS configuration is invalid.
    """
    return s3_session.connect(place, attempts=attempts, connections=CONNECTIONS, connect_seconds=3)


@contextlib.contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Translate errors of boto3 that occur while an address is accessed."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except Boto3Error as error:  # of a multipart upload
        cause = error.__context__ if isinstance(error.__context__, Exception) else error
        raise s3_session.translate(cause, place, action=_ACTIONS) from None
    except (ClientError, BotoCoreError) as error:
        raise s3_session.translate(error, place, action=_ACTIONS) from None


def find_or_make(client: S3Client, bucket: str, note: Callable[[str], None]) -> bool:
    """Create a bucket if it does not exist.

    An existing bucket is not changed. A new one gets versioning, encryption, a block of public access and tags, as far
    as its server supports them.

    Args:
        client: result of `connect`.
        bucket: name of the bucket.
        note: called with a message for each protection that is missing.

    Returns:
        True if the bucket was created.

    Raises:
        StorageError: the server cannot be reached, or refuses.
    """
    from botocore.exceptions import ClientError

    region = client.meta.region_name
    constraint = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with translate_errors(f"s3://{bucket}"):
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if _code(error) not in {"404", "NoSuchBucket"}:
                raise
        else:
            _look_at(client, bucket, note)
            return False
        try:
            client.create_bucket(Bucket=bucket, **constraint)
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":  # created at the same moment by another push
                raise
    _make_safe(client, bucket, note)
    return True


def exists(client: S3Client, bucket: str, key: str) -> bool:
    """Return whether an object exists; False also if the credentials do not permit the request."""
    from botocore.exceptions import ClientError

    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) not in {"404", "NoSuchKey", "403", "AccessDenied"}:
            raise
        return False
    return True


def _make_safe(client: S3Client, bucket: str, note: Callable[[str], None]) -> None:
    from botocore.exceptions import ClientError

    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    settings: list[tuple[str, Callable[[], object]]] = [
        ("does not encrypt by default", lambda: _encrypt(client, bucket)),  # before versions, as it deletes an object
        (
            "keeps no versions of its objects",
            lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
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


def _encrypt(client: S3Client, bucket: str) -> None:
    """Encrypt new objects by default.

    SeaweedFS accepts the setting without a key to encrypt with, and then refuses every object: so one is written.
    """
    from botocore.exceptions import ClientError

    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    try:
        client.put_object(Bucket=bucket, Key=_PROBE, Body=b"tilepipe push")
    except ClientError:
        client.delete_bucket_encryption(Bucket=bucket)
        raise
    client.delete_object(Bucket=bucket, Key=_PROBE)


def _look_at(client: S3Client, bucket: str, note: Callable[[str], None]) -> None:
    """Report that an existing bucket keeps no versions, since its owner may lose data."""
    from botocore.exceptions import ClientError

    try:
        is_versioned = client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except ClientError:  # a policy may forbid the request
        return
    if not is_versioned:
        note(f"s3://{bucket} existed before and keeps no versions: a changed file overwrites its former version")


def _code(error: Any) -> str:  # noqa: ANN401 - botocore.exceptions.ClientError, which is imported late
    return str(error.response.get("Error", {}).get("Code", "an error without a code"))
