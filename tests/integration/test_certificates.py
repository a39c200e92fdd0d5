"""A private authority: with the variables that a platform's settings give to steps, every client trusts it."""

import os
import subprocess
import sys

import pytest

from tests.support import tls_server
from tests.support.scenes import cells, write_scene
from tilepipe.pipelines.cli.compilation.platform_spec import CERTIFICATE_VARIABLES

CLIENTS = """
import sys
import requests
from tilepipe.components.predict_scenes.scene.gdal_access import gdal_environment, open_raster
from tilepipe.components.shared.storage import s3_session, storage

url = sys.argv[1]

def gdal():
    with gdal_environment(), open_raster(f"{url}/scene.tif") as scene:
        return scene.read().size

def boto3():
    client = s3_session.connect("s3://bucket", attempts=1)
    return len(client.get_object(Bucket="bucket", Key="key")["Body"].read())

clients = {
    "obstore": lambda: len(storage.read_bytes("s3://bucket/key")),
    "boto3": boto3,
    "libcurl": lambda: len(storage.prefetch_reader(["s3://bucket/key"])("s3://bucket/key")),
    "urllib3": lambda: len(storage.read_bytes(f"{url}/file")),
    "requests": lambda: len(requests.get(f"{url}/file", timeout=20).content),
    "gdal": gdal,
}
for name, read in clients.items():
    try:
        print(name, read() > 0)
    except Exception as error:
        print(name, f"{type(error).__name__}: {error}"[:200])
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    return folder, tls_server.make_certificates(folder)


@pytest.mark.parametrize(
    ("variables", "distrusting"),
    [(CERTIFICATE_VARIABLES, []), (("AWS_CA_BUNDLE", "SSL_CERT_FILE"), ["requests"])],
    ids=["all variables", "two variables"],
)
def test_every_client_trusts_the_bundle_of_the_platform(certificates, tmp_path, variables, distrusting):
    folder, bundle = certificates
    write_scene(tmp_path / "scene.tif", cells([[0, 1], [2, 0]]))
    with tls_server.serving(folder, (tmp_path / "scene.tif").read_bytes()) as url:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in CERTIFICATE_VARIABLES},
            **dict.fromkeys(variables, str(bundle)),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a secret",
            "NO_PROXY": "*",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CLIENTS, url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(found) == {"obstore", "boto3", "libcurl", "urllib3", "requests", "gdal"}
    assert [name for name, outcome in found.items() if outcome != "True"] == distrusting
