"""Check the object store and MLflow as the environment names them; prints one JSON object per finding and line.

It runs here, or as text in a pod of the data image (`python -c`), where names of the cluster resolve. There, tilepipe
is imported only for buckets: MLflow can be checked from any image.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tilepipe.components.shared.storage.s3_session import Diagnosis

_KEY = "tilepipe-doctor"
_TIMEOUT_SECONDS = 5
_ANSWER_SECONDS = 20
"""Limit for an answer of an object store: SeaweedFS reserves space at the first put into a bucket."""


def probe_tracking(uri: str) -> dict[str, str]:
    """Ask a tracking server for its health and version; return a finding as `probe_bucket` does."""
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
        return _finding("problem", "MLflow", f"{uri} answers HTTP {error.code}", advice)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        advice = "Start the server, or correct MLFLOW_TRACKING_URI in the ConfigMap tilepipe-tracking."
        return _finding("problem", "MLflow", f"{uri} does not answer: {reason}", advice)
    return _finding("ok", "MLflow", f"{version.strip()[:20]} at {uri}", "")


def _get(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - an administrator's own setting
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        return str(answer.read(4096).decode("utf-8", "replace"))


def probe_bucket(bucket: str) -> dict[str, str]:
    """List, write, read and delete in a bucket; return a finding: `{level, subject, detail, advice}`."""
    subject = f"bucket {bucket}"
    try:
        from tilepipe.components.shared.errors import TilepipeError
        from tilepipe.components.shared.storage import s3_session
    except ImportError as error:
        return _finding("warning", subject, f"not checked: {error}", "Use an image of this version of tilepipe.")
    done: list[str] = []
    try:
        client = s3_session.connect(
            f"s3://{bucket}", attempts=1, connect_seconds=_TIMEOUT_SECONDS, read_seconds=_ANSWER_SECONDS
        )
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        done.append("list")
        client.put_object(Bucket=bucket, Key=_KEY, Body=b"tilepipe doctor")
        done.append("write")
        client.get_object(Bucket=bucket, Key=_KEY)["Body"].read()
        done.append("read")
        client.delete_object(Bucket=bucket, Key=_KEY)
    except TilepipeError as error:
        return _finding("problem", subject, str(error), "Correct the setting.")
    except Exception as error:
        level, detail, advice = _judge(s3_session.diagnose(error), done)
        return _finding(level, subject, detail, advice)
    return _finding("ok", subject, "readable and writable", "")


def _judge(found: "Diagnosis", done: list[str]) -> tuple[str, str, str]:
    """Return level, detail and advice for a bucket whose next request after `done` failed."""
    cause, code = found.cause, found.answer
    if cause.name in {"bucket", "object"}:
        return "problem", f"does not exist at {found.server}", "Create it, or correct the name."
    if cause.name == "credentials":
        return "problem", "no credentials", "Put them into the Secret, under the keys that its own finding lists."
    if not cause.is_refusal:
        failed = "does not answer" if cause.name in {"unreachable", "busy"} else "refuses"
        return "problem", f"{found.server} {failed}: {code}", cause.remedy
    refused_at = {
        0: ("problem", f"may not be listed: {code}", cause.remedy.format(action="s3:ListBucket")),
        1: ("warning", f"readable, not writable: {code}", "Enough for tiles. For results, allow s3:PutObject on it."),
        2: ("problem", f"not readable: {code}", "Allow s3:GetObject on it."),
    }
    stays = f"readable and writable; deleting is not allowed, so the object {_KEY} stays"
    return refused_at.get(len(done), ("ok", stays, ""))


def _finding(level: str, subject: str, detail: str, advice: str) -> dict[str, str]:
    return {"level": level, "subject": subject, "detail": detail, "advice": advice}


def main() -> None:
    """Probe the buckets named on the command line, and the tracking server of the environment, if any."""
    found = [probe_bucket(bucket) for bucket in sys.argv[1:]]
    if os.environ.get("MLFLOW_TRACKING_URI"):
        found.append(probe_tracking(os.environ["MLFLOW_TRACKING_URI"]))
    for finding in found:
        sys.stdout.write(f"{json.dumps(finding)}\n")


if __name__ == "__main__":
    main()
