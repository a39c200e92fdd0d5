"""Small experiments that find out what an object store does: the rows of the table in the documentation."""

import hashlib
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.support.s3_server import S3Server
from tilepipe.components.shared.storage import s3_session

_MEBIBYTE = 2**20


def probe(server: S3Server, bucket: str) -> dict[str, str]:
    """Return what a store does with each kind of request, by its name in the table.

    Args:
        server: the server, whose address and credentials are also in the environment.
        bucket: name of an empty bucket.
    """
    client = s3_session.connect(f"s3://{bucket}", attempts=1)
    found = {name: experiment(client, bucket) for name, experiment in PROBES.items()}
    return found | {"refusal before the body was sent": _answers_early(server, client, bucket)}


def _outcome(request: Callable[[], object], accepted: str = "accepted") -> str:
    try:
        request()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return f"{status} {error.response['Error']['Code']}".replace(f"{status} {status}", str(status))
    return accepted


def _put(client: Any, bucket: str, key: str, body: bytes = b"1", **more: object) -> str:
    return client.put_object(Bucket=bucket, Key=key, Body=body, **more)["ETag"]


def _keys(client: Any, bucket: str, prefix: str, **more: object) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _create_once(client: Any, bucket: str) -> str:
    _put(client, bucket, "once")
    return _outcome(lambda: _put(client, bucket, "once", b"2", IfNoneMatch="*"), "ignored")


def _replace_known(client: Any, bucket: str) -> str:
    tag = _put(client, bucket, "known")
    _put(client, bucket, "known", b"2")
    return _outcome(lambda: _put(client, bucket, "known", b"3", IfMatch=tag), "ignored")


def _copy_once(client: Any, bucket: str) -> str:
    source = {"Bucket": bucket, "Key": "once"}
    _put(client, bucket, "copy")
    return _outcome(
        lambda: client.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfNoneMatch="*"), "ignored"
    )


def _delete_known(client: Any, bucket: str) -> str:
    tag = _put(client, bucket, "gone")
    _put(client, bucket, "gone", b"2")
    return _outcome(lambda: client.delete_object(Bucket=bucket, Key="gone", IfMatch=tag), "ignored")


def _below(client: Any, bucket: str) -> str:
    _put(client, bucket, "below/a")
    refused = _outcome(lambda: _put(client, bucket, "below/a/b"), "")
    listed = _keys(client, bucket, "below/")
    return refused or ("both listed" if len(listed) == 2 else f"accepted, listed: {', '.join(listed)}")


def _above(client: Any, bucket: str) -> str:
    _put(client, bucket, "above/a/b")
    refused = _outcome(lambda: _put(client, bucket, "above/a"), "")
    listed = _keys(client, bucket, "above/")
    return refused or ("both listed" if len(listed) == 2 else f"accepted, listed: {', '.join(listed)}")


def _order(client: Any, bucket: str) -> str:
    names = [f"order/{name}.tif" for name in ("a", "a/1", "a0", "B", "é", "z", "😀")]
    for name in names:
        _put(client, bucket, name)
    listed = _keys(client, bucket, "order/")
    if set(listed) != set(names):
        return "incomplete"
    return "bytes" if listed == sorted(names, key=str.encode) else "other"


def _pages(client: Any, bucket: str) -> str:
    names = [f"pages/{label}/{number}.tif" for label in "ab" for number in range(4)]
    for name in names:
        _put(client, bucket, name)
    is_complete = _keys(client, bucket, "pages/", PaginationConfig={"PageSize": 3}) == names
    return "complete" if is_complete else "incomplete"


def _etag(client: Any, bucket: str) -> str:
    large = bytes(20 * _MEBIBYTE)
    is_md5 = [
        _put(client, bucket, "etag", body).strip('"') == hashlib.md5(body).hexdigest() for body in (b"small", large)
    ]
    return {(True, True): "MD5", (True, False): "MD5 of small objects"}.get(tuple(is_md5), "other")


def _multipart(client: Any, bucket: str) -> str:
    parts = [b"1" * 5 * _MEBIBYTE, b"2"]
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    tags = [
        client.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    done = [{"ETag": tag, "PartNumber": number} for number, tag in enumerate(tags, 1)]
    client.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": done})
    is_whole = client.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"".join(parts)
    tag = client.head_object(Bucket=bucket, Key="parts")["ETag"].strip('"')
    expected = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest() + "-2"
    return "incomplete" if not is_whole else "ETag of parts" if tag == expected else "another ETag"


def _unfinished(client: Any, bucket: str) -> str:
    client.create_multipart_upload(Bucket=bucket, Key="unfinished/x")
    listed = client.list_multipart_uploads(Bucket=bucket, Prefix="unfinished/").get("Uploads", ())
    return "listed by prefix" if listed else "not listed by prefix"


def _checksum(client: Any, bucket: str) -> str:
    wrong = {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": "AAAAAA=="}
    return _outcome(lambda: _put(client, bucket, "checksum", b"tile", **wrong), "ignored")


def _md5(client: Any, bucket: str) -> str:
    return _outcome(lambda: _put(client, bucket, "md5", b"tile", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="), "ignored")


def _versions(client: Any, bucket: str) -> str:
    configuration = {"Status": "Enabled"}
    refused = _outcome(lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=configuration), "")
    if refused:
        return refused
    for body in (b"1", b"2"):
        _put(client, bucket, "versions", body)
    kept = client.list_object_versions(Bucket=bucket, Prefix="versions").get("Versions", ())
    return "kept" if len(kept) == 2 else "lost"


def _lifecycle(client: Any, bucket: str) -> str:
    rule = {
        "ID": "x",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    configuration = {"Rules": [rule]}
    return _outcome(
        lambda: client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=configuration)
    )


def _answers_early(server: S3Server, client: Any, bucket: str) -> str:
    """Send half of an object that must not be replaced, and see whether the refusal is there already."""
    _put(client, bucket, "early")
    url = f"{server.endpoint}/{bucket}/early"
    request = AWSRequest("PUT", url, {"If-None-Match": "*", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", "us-east-1").add_auth(request)
    size, host = 8 * _MEBIBYTE, urlsplit(server.endpoint)
    headers = {"Host": host.netloc, "Content-Length": str(size), **dict(request.headers.items())}
    text = f"PUT /{bucket}/early HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((host.hostname, host.port), timeout=2) as connection:
        connection.sendall(text.encode() + b"\r\n" + bytes(_MEBIBYTE))
        began = time.monotonic()
        try:
            status = connection.recv(12)[9:].decode()
        except TimeoutError:
            return "no"
        return f"yes, {status}" if time.monotonic() - began < 2 else "no"


def _absent_bucket(client: Any, bucket: str) -> str:
    other = f"{bucket}-none"
    answer = _outcome(lambda: _put(client, other, "x"))
    if answer != "accepted":
        return answer
    client.delete_object(Bucket=other, Key="x")
    client.delete_bucket(Bucket=other)
    return "accepted, creates the bucket"


def _encryption(client: Any, bucket: str) -> str:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    configuration = {"Rules": [rule]}
    answer = _outcome(
        lambda: client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    )
    if answer != "accepted":
        return answer
    written = _outcome(lambda: _put(client, bucket, "encrypted"))
    client.delete_bucket_encryption(Bucket=bucket)
    return answer if written == "accepted" else f"accepted; puts then get {written}"


PROBES: dict[str, Callable[[Any, str], str]] = {
    "put only if absent (`If-None-Match: *`)": _create_once,
    "put only if unchanged (`If-Match`)": _replace_known,
    "copy only if absent": _copy_once,
    "delete only if unchanged": _delete_known,
    "key `a/b` beside a key `a`": _below,
    "key `a` beside a key `a/b`": _above,
    "order of a listing": _order,
    "listing in pages": _pages,
    "ETag of a single put": _etag,
    "upload in parts": _multipart,
    "unfinished upload in parts": _unfinished,
    "wrong CRC32 in a put": _checksum,
    "wrong MD5 in a put": _md5,
    "put into a bucket that does not exist": _absent_bucket,
    "encryption by default": _encryption,
    "versions": _versions,
    "rule to abort unfinished uploads": _lifecycle,
}
