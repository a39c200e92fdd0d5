"""Create missing Secrets with random values; existing ones are not changed.

    python3 generate.py secrets.yaml

Runs in a pod and only needs the right to create Secrets; existing ones are never read.
"""

import contextlib
import http.client
import json
import logging
import os
import secrets
import ssl
import string
import sys
from pathlib import Path
from typing import Any

import yaml

logger = logging.getLogger("tilepipe.generate")

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# Only letters and digits, which have no special meaning to any program or shell.
ALPHABET = string.ascii_letters + string.digits


def secret(name: str, purpose: str, keys: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Build the manifest of a Secret with a random value for each key."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "tilepipe"},
            "annotations": {"kubernetes.io/description": purpose},
        },
        "stringData": {
            key: "".join(secrets.choice(ALPHABET) for _ in range(settings["length"])) for key, settings in keys.items()
        },
    }


def create(connection: http.client.HTTPConnection, token: str, namespace: str, body: dict[str, Any]) -> bool:
    """Create one Secret; returns False if one of that name exists.

    Raises:
        PermissionError: Kubernetes refuses for another reason.
    """
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", f"/api/v1/namespaces/{namespace}/secrets", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read().decode()
    if response.status not in (http.client.CREATED, http.client.CONFLICT):
        raise PermissionError(
            f"Kubernetes must let this job create Secrets. Received: {response.status} {answer[:500]}. "
            "See the Role tilepipe-generate-secrets, and the quotas of the namespace."
        )
    return response.status == http.client.CREATED


def main(file: Path) -> None:
    """Create the missing Secrets in the file that are not optional."""
    token, namespace = ((SERVICE_ACCOUNT / name).read_text(encoding="utf-8").strip() for name in ("token", "namespace"))
    connection = http.client.HTTPSConnection(
        os.environ["KUBERNETES_SERVICE_HOST"],
        int(os.environ["KUBERNETES_SERVICE_PORT"]),
        timeout=30,
        context=ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt")),
    )
    index = yaml.safe_load(file.read_text(encoding="utf-8"))
    with contextlib.closing(connection):
        for name, entry in index.items():
            if not entry.get("optional"):
                made = create(connection, token, namespace, secret(name, entry["purpose"], entry["keys"]))
                logger.info("Secret %s %s.", name, "was created" if made else "already exists")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(str(error))
