#!/usr/bin/env bash
# Copying objects with boto3 keeps their tags up to 8 MiB and loses them above.
#
# Expected: `copy` gives every object the tags of its source, as S3's CopyObject does; it keeps metadata and content type
# at any size.
# Observed (boto3 1.44.5, against versitygw 1.8.0): from 8 MiB on, boto3 copies in parts, and the copy has the metadata
# and the content type of the source, but no tags. With ExtraArgs={"TaggingDirective": "COPY"} it has them at any size.
# Why it matters: tags carry the split, the license or the rule by which objects expire. After a data set has moved to
# another bucket, small tiles are deleted or withheld as their tags demand, and large scenes are not.
# Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html;
# https://docs.aws.amazon.com/boto3/latest/reference/services/s3/client/copy.html.
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
    s3.create_bucket(Bucket="scenes")
    found = {}
    for mebibytes in (7, 9):
        source = {"Bucket": "scenes", "Key": f"{mebibytes}.tif"}
        given = {"ContentType": "image/tiff", "Metadata": {"sensor": "MSI"}, "Tagging": "split=test"}
        s3.put_object(**source, Body=bytes(mebibytes * 2**20), **given)
        for name, extra in (("by default", {}), ("told to", {"TaggingDirective": "COPY"})):
            target = {"Bucket": "scenes", "Key": f"{mebibytes} {name}.tif"}
            s3.copy(source, **target, ExtraArgs=extra)
            head, tags = s3.head_object(**target), s3.get_object_tagging(**target)["TagSet"]
            found[mebibytes, name] = (head["ContentType"], head["Metadata"], {tag["Key"]: tag["Value"] for tag in tags})
finally:
    server.kill()
    server.wait()
print("boto3", boto3.__version__, "versitygw", VERSION)
for (mebibytes, name), values in found.items():
    print(f"  {mebibytes} MiB, tags copied {name}:", *values)
kept = ("image/tiff", {"sensor": "MSI"}, {"split": "test"})
as_recorded = dict.fromkeys(found, kept) | {(9, "by default"): (*kept[:2], {})}
raise SystemExit(0 if found == as_recorded else 1)
PYTHON
