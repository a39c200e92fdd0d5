#!/usr/bin/env bash
# SeaweedFS, as Kubeflow Pipelines installs it, takes objects in two buckets; a third is created and accepts none.
#
# Expected: the number of buckets is limited by the disk only.
# Observed (SeaweedFS 4.53, `weed server` with the options of KFP's manifest): creating six buckets succeeds. Puts into
# the first two succeed; every put into the others is answered with 500 InternalError, whatever its size, on an empty
# disk. Each bucket is a collection with volumes of its own: the first put reserves seven, and a server has eight by
# default. `-volume.max=100` makes room.
# Why it matters: KFP's bucket `mlpipeline` is the first. A team adds one for tiles, then one for results: creating it
# works, and each upload fails with an error that looks like a fault of the moment, so clients repeat it.
# Source: SeaweedFS's wiki, "Optimization" (volumes per collection); kubeflow/pipelines, manifests/kustomize/third-
# party/seaweedfs. The program named by WEED_BINARY, or `weed` on the PATH, is used; else it is built with Go, which
# takes long.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check boto3==1.44.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

MODULE = "github.com/seaweedfs/seaweedfs@v0.0.0-20261109003541-7506e5f91cd6"


def build():
    done = subprocess.run(["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, text=True)
    shutil.copytree(json.loads(done.stdout)["Dir"], "source", copy_function=shutil.copyfile)
    environment = os.environ | {"CGO_ENABLED": "0"}
    Path("source").chmod(0o755)
    subprocess.run(["go", "build", "-o", os.path.abspath("weed"), "./weed"], check=True, cwd="source", env=environment)
    return os.path.abspath("weed")


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def accepted(name, *options):
    """Start a server, and return for each of six buckets if it takes an object."""
    folder, ports = Path(name), free_ports(8)
    folder.mkdir()
    user = {"name": "user", "credentials": [{"accessKey": "user", "secretKey": "password"}], "actions": ["Admin"]}
    Path(f"{name}.json").write_text(json.dumps({"identities": [user]}))
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", "-filer", "-master.volumePreallocate=false"]
    for number, part in enumerate(("master", "volume", "filer", "s3")):
        command += [f"-{part}.port={ports[2 * number]}", f"-{part}.port.grpc={ports[2 * number + 1]}"]
    with open(f"{name}.log", "wb") as log:
        server = subprocess.Popen([*command, f"-s3.config={name}.json", *options], stdout=log, stderr=log)
    endpoint, results = f"http://127.0.0.1:{ports[6]}", []
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{endpoint}/status", timeout=2).close()
                break
            except OSError:
                time.sleep(0.3)
        time.sleep(5)  # the volume server reports to the master
        once = Config(retries={"total_max_attempts": 1}, read_timeout=120)
        keys = {"aws_access_key_id": "user", "aws_secret_access_key": "password", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=endpoint, config=once, **keys)
        for number in range(6):
            s3.create_bucket(Bucket=f"bucket-{number}")
            try:
                s3.put_object(Bucket=f"bucket-{number}", Key="tile", Body=b"1")
                results.append("ok")
            except ClientError as error:
                results.append(error.response["Error"]["Code"])
    finally:
        server.kill()
        server.wait()
    return results


try:
    weed = os.environ.get("WEED_BINARY") or shutil.which("weed") or build()
    version = subprocess.run([weed, "version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
except (OSError, subprocess.CalledProcessError) as error:
    print("SeaweedFS cannot be built:", error)
    raise SystemExit(2) from None
default = accepted("default")
more = accepted("more", "-volume.max=100", "-master.volumeSizeLimitMB=64")
print("seaweedfs:", version)
print("puts into six buckets:       ", *default)
print("the same, -volume.max=100:   ", *more)
raise SystemExit(0 if default == ["ok"] * 2 + ["InternalError"] * 4 and more == ["ok"] * 6 else 1)
PYTHON
