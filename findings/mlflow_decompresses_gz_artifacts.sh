#!/usr/bin/env bash
# An artifact `x.tar.gz` that an MLflow server keeps in S3 comes back decompressed, under the same name.
#
# Expected: an artifact that is downloaded has the bytes that were logged.
# Observed: the server stores `.gz` files with `Content-Encoding: gzip`, and the client that downloads one gets the
# content of the archive: other bytes, another size and another checksum. With artifacts on the server's disk, and under
# a name without `.gz`, the bytes are those that were logged.
# Why it matters: a model bundle that is logged as `model.tar.gz` no longer matches its SHA-256 and looks tampered with.
# Source: MLflow's documentation of artifact stores, proxied artifact access.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 'moto[server]==5.2.5' boto3==1.44.5 || exit 2
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export MLFLOW_S3_ENDPOINT_URL=http://127.0.0.1:5981 MLFLOW_DISABLE_TELEMETRY=true
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p 5981 >moto.log 2>&1 &
for port in 5982 5983; do
  destination=s3://artifacts/runs
  [ $port = 5982 ] || destination=$folder/artifacts
  "$folder/venv/bin/mlflow" server --host 127.0.0.1 --port $port --workers 1 --artifacts-destination "$destination" \
    --backend-store-uri "sqlite:///$folder/$port.db" >"$port.log" 2>&1 &
done
"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
import mlflow
from mlflow import MlflowClient


def wait_for(address):
    for _ in range(600):
        try:
            return urllib.request.urlopen(address, timeout=2)
        except OSError:
            time.sleep(0.5)
    sys.exit(2)


wait_for("http://127.0.0.1:5981/moto-api/")
boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"]).create_bucket(Bucket="artifacts")
logged = gzip.compress(b"tiles" * 100, mtime=0)
print(f"mlflow {mlflow.__version__}")
seen = {}
for where, port in (("S3", 5982), ("disk", 5983)):
    wait_for(f"http://127.0.0.1:{port}/health")
    client = MlflowClient(f"http://127.0.0.1:{port}")
    run_id = client.create_run(client.create_experiment("bytes")).info.run_id
    for name in ("x.tar.gz", "x.tar.gz.bin"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(logged)
            client.log_artifact(run_id, str(path))
            path.unlink()
            found = Path(client.download_artifacts(run_id, name, folder)).read_bytes()
        seen[where, name] = found == logged
        print(f"  {where}, {name}: {'the same bytes' if found == logged else f'{len(logged)} bytes became {len(found)}'}")
sys.exit(0 if [key for key, same in seen.items() if not same] == [("S3", "x.tar.gz")] else 1)
PYTHON
