"""Asks the object store and MLflow, as the environment names them; one JSON object a line for each finding.

It runs here, or as text in a pod of the data image (`python -c`), where names of the cluster resolve. So it imports
nothing of tilepipe, and takes the S3 client that is there: boto3 with the command line, obstore in the image.
"""

import base64
import json
import os
import re
import sys
import urllib.error
import urllib.request

_KEY = "tilepipe-doctor"
_TIMEOUT_SECONDS = 5


def probe_buckets(buckets: list[str]) -> list[dict[str, str]]:
    """List, write, read and delete in each bucket.

    Args:
        buckets: their names.

    Returns:
        One finding a bucket: `{level, subject, detail, advice}`.
    """
    return [_probe_bucket(bucket) for bucket in buckets]


def probe_tracking(uri: str) -> list[dict[str, str]]:
    """Ask a tracking server for its health and version."""
    headers = {}
    if os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"
    elif os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    try:
        _get(f"{uri.rstrip('/')}/health", headers)
        version = _get(f"{uri.rstrip('/')}/version", headers)
        # The two above are open to all; this one asks who we are, and through which host name.
        _get(f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1", headers)
    except urllib.error.HTTPError as error:
        advice = "Check MLFLOW_TRACKING_URI: another server may be there."
        if error.code == 401:
            advice = "Put MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN, into the Secret tilepipe-tracking."
        elif error.code == 403:
            advice = "Give the account rights, or name this host in the server's --allowed-hosts."
        return [_finding("problem", "MLflow", f"{uri} answers HTTP {error.code}", advice)]
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        advice = "Start the server, or correct MLFLOW_TRACKING_URI in the ConfigMap tilepipe-tracking."
        return [_finding("problem", "MLflow", f"{uri} does not answer: {reason}", advice)]
    return [_finding("ok", "MLflow", f"{version.strip()[:20]} at {uri}", "")]


def _get(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - an administrator's own setting
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        return str(answer.read(4096).decode("utf-8", "replace"))


def _probe_bucket(bucket: str) -> dict[str, str]:
    done: list[str] = []
    try:
        store = _store(bucket)
        for name in ("list", "write", "read", "delete"):
            getattr(store, name)()
            done.append(name)
    except Exception as error:  # two clients, each with a tree of its own
        level, detail, advice = _judge(*_explain(error), done)
    else:
        level, detail, advice = "ok", "readable and writable", ""
    return _finding(level, f"bucket {bucket}", detail, advice)


def _judge(code: str, text: str, done: list[str]) -> tuple[str, str, str]:
    """Level, detail and advice for a bucket where something did not work."""
    place = os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    if code in {"NoSuchBucket", "404"}:
        return "problem", f"does not exist at {place}", "Make it, or correct the name."
    if "credentials" in text.lower() and not code:
        return "problem", "no credentials", "Put them into the Secret, under the names that the finding about it says."
    if not _refused(code):
        return "problem", f"{place} does not answer: {text}", "Check AWS_ENDPOINT_URL, and that the store runs."
    keys = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the Secret, and the user's policy."
    refused_at = {
        0: ("problem", f"may not be listed: {code}", keys),
        1: ("warning", f"readable, not writable: {code}", "Enough for tiles. For results, allow s3:PutObject on it."),
        2: ("problem", f"not readable: {code}", "Allow s3:GetObject on it."),
    }
    stays = f"readable and writable; deleting is not allowed, so the object {_KEY} stays"
    return refused_at.get(len(done), ("ok", stays, ""))


def _store(bucket: str) -> "_Boto3 | _Obstore":
    try:
        import boto3  # noqa: F401
    except ImportError:
        return _Obstore(bucket)
    return _Boto3(bucket)


class _Boto3:
    def __init__(self, bucket: str) -> None:
        import boto3
        from botocore.config import Config

        quick = {"connect_timeout": _TIMEOUT_SECONDS, "read_timeout": _TIMEOUT_SECONDS}
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **quick)
        region = os.environ.get("AWS_REGION") or "us-east-1"
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
        self._client = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
        self._bucket = bucket

    def list(self) -> None:
        self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def write(self) -> None:
        self._client.put_object(Bucket=self._bucket, Key=_KEY, Body=b"tilepipe doctor")

    def read(self) -> None:
        self._client.get_object(Bucket=self._bucket, Key=_KEY)["Body"].read()

    def delete(self) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=_KEY)


class _Obstore:
    def __init__(self, bucket: str) -> None:
        from obstore.store import S3Store

        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        options = {"allow_http": endpoint.startswith("http://"), "timeout": f"{_TIMEOUT_SECONDS}s"}
        region = os.environ.get("AWS_REGION") or "us-east-1"
        given = {"endpoint": endpoint} if endpoint else {}
        retry = {"max_retries": 0}
        self._store = S3Store(bucket, region=region, client_options=options, retry_config=retry, **given)  # type: ignore[arg-type]

    def list(self) -> None:
        for _ in self._store.list(chunk_size=1):
            break

    def write(self) -> None:
        self._store.put(_KEY, b"tilepipe doctor")

    def read(self) -> None:
        self._store.get(_KEY).bytes()

    def delete(self) -> None:
        self._store.delete(_KEY)


def _explain(error: Exception) -> tuple[str, str]:
    """The store's error code, and a short text without the request that was made."""
    text = " ".join(str(error).split())
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    if not code:
        match = re.search(r"<Code>(\w+)</Code>", text)
        status = re.search(r"\b(40[134])\b", text)
        code = match[1] if match else status[1] if status else ""
    return code, text[:200]


def _refused(code: str) -> bool:
    known = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "401", "403"}
    return code in known or code.startswith("Invalid")


def _finding(level: str, subject: str, detail: str, advice: str) -> dict[str, str]:
    return {"level": level, "subject": subject, "detail": detail, "advice": advice}


def main() -> None:
    """Probe the buckets named on the command line, and the tracking server of the environment, if any."""
    found = probe_buckets(sys.argv[1:])
    if os.environ.get("MLFLOW_TRACKING_URI"):
        found += probe_tracking(os.environ["MLFLOW_TRACKING_URI"])
    for finding in found:
        sys.stdout.write(f"{json.dumps(finding)}\n")


if __name__ == "__main__":
    main()
