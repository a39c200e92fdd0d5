#!/usr/bin/env bash
# CURL_CA_BUNDLE, with which GDAL trusts a private certificate authority, has no effect in rasterio's wheels.
#
# Expected: GDAL's documentation of /vsicurl/ names CURL_CA_BUNDLE and SSL_CERT_FILE; with either, a file on a server
# whose certificate comes from the authority in that bundle can be opened, as with curl and requests.
# Observed (rasterio 1.4.4 with GDAL 3.10.3): rasterio sets the configuration option GDAL_CURL_CA_BUNDLE to certifi's file
# when it is imported, and GDAL prefers that option to both variables. Opening fails with "unable to get local issuer
# certificate". GDAL_CURL_CA_BUNDLE in the environment, or in rasterio.Env, works.
# Why it matters: clusters behind a company's authority give their bundle to all pods in the usual variables. Every client
# of a step then works apart from the one that reads the scenes.
# Source: GDAL's page on network file systems.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.3.5 requests==2.32.5 || exit 2
{
  printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE' >names
  openssl req -newkey rsa:2048 -nodes -subj /CN=authority -keyout ca.key -x509 -days 2 -out ca.crt
  openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout private.key -out server.csr
  openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out public.crt
} 2>/dev/null || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import http.server
import os
import ssl
import subprocess
import sys
import threading

import numpy as np
import rasterio
from rasterio.io import MemoryFile

with MemoryFile() as file:
    with file.open(driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:4326",
                   transform=rasterio.transform.from_bounds(0, 0, 1, 1, 8, 8)) as scene:
        scene.write(np.ones((1, 8, 8), "uint8"))
    content = file.read()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("public.crt", "private.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"https://127.0.0.1:{server.server_port}/scene.tif"

PROGRAMS = {"rasterio": f"import rasterio; rasterio.open('/vsicurl/{url}').read()",
            "requests": f"import requests; requests.get('{url}', timeout=20).raise_for_status()"}


def outcome(program, *variables):
    names = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "GDAL_CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= dict.fromkeys(variables, os.path.abspath("ca.crt"))
    done = subprocess.run([sys.executable, "-c", PROGRAMS[program]], env=environment, capture_output=True, text=True)
    last = "read" if done.returncode == 0 else "refused"
    print(f"  {program} with {' and '.join(variables) or 'neither'}: {last}")
    return last


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
seen = [outcome("requests", "CURL_CA_BUNDLE"), outcome("rasterio"),
        outcome("rasterio", "CURL_CA_BUNDLE", "SSL_CERT_FILE"), outcome("rasterio", "GDAL_CURL_CA_BUNDLE")]
sys.exit(0 if seen == ["read", "refused", "refused", "read"] else 1)
PYTHON
