#!/usr/bin/env bash
# versitygw serves a file that was changed on its disk with the ETag and the checksum of the former content.
#
# Expected: a gateway to a file system notices another modification time, and answers with another ETag or with none, as
# it does for files that were put there without it.
# Observed (versitygw 1.8.0, posix backend): size and content are the new ones; ETag and CRC32 stay those of the object
# that was uploaded last. boto3 1.44.5, which checks them by default, refuses the content with FlexibleChecksumError on
# every read. Replacing the file by renaming another over it is fine: it then has no ETag.
# Why it matters: such a gateway is chosen because scientists work on the same folder by NFS. A label or a tile that
# they correct in place looks damaged to every S3 client; a sync by ETag takes it for unchanged and overwrites or skips
# it.
# Source: versitygw's wiki, "Posix backend": metadata are kept in extended attributes.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.exceptions import FlexibleChecksumError

VERSION = "v1.8.0"
environment = os.environ | {"GOBIN": os.getcwd(), "CGO_ENABLED": "0"}
package = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
try:
    subprocess.run(["go", "install", package], check=True, capture_output=True, env=environment)
except (OSError, subprocess.CalledProcessError) as error:
    print("versitygw cannot be built:", error)
    raise SystemExit(2) from None
Path("data").mkdir()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
endpoint = f"http://127.0.0.1:{port}"
options = ["--port", f"127.0.0.1:{port}", "--access", "user", "--secret", "password", "--health", "/health", "--quiet"]
server = subprocess.Popen(["./versitygw", *options, "posix", "data"], stdout=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{endpoint}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.2)
    else:
        print("versitygw does not start")
        raise SystemExit(2)
    keys = {"aws_access_key_id": "user", "aws_secret_access_key": "password", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=endpoint, **keys)
    s3.create_bucket(Bucket="tiles")
    s3.put_object(Bucket="tiles", Key="Forest/1.tif", Body=b"before")
    first = s3.head_object(Bucket="tiles", Key="Forest/1.tif")["ETag"]
    file = Path("data/tiles/Forest/1.tif")
    time.sleep(1.1)
    file.write_bytes(b"after it")
    head = s3.head_object(Bucket="tiles", Key="Forest/1.tif")
    try:
        read = s3.get_object(Bucket="tiles", Key="Forest/1.tif")["Body"].read()
    except FlexibleChecksumError as error:
        read = type(error).__name__
    Path("other").write_bytes(b"renamed")
    os.replace("other", file)
    renamed = s3.head_object(Bucket="tiles", Key="Forest/1.tif").get("ETag", "")
finally:
    server.kill()
    server.wait()
print("versitygw", VERSION, "boto3", boto3.__version__)
print("uploaded:          ETag", first)
print("changed on disk:   ETag", head["ETag"], "bytes", head["ContentLength"], "read:", read)
print("replaced on disk:  ETag", renamed or "none")
as_recorded = head["ETag"] == first and head["ContentLength"] == 8 and read == "FlexibleChecksumError"
raise SystemExit(0 if as_recorded and not renamed else 1)
PYTHON
