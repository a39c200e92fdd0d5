#!/usr/bin/env bash
# With two kubeconfigs, kubernetes' Python client talks to another cluster than kubectl.
#
# Expected: KUBECONFIG=lab:production with a current context in each file selects that of the first file, as Kubernetes
# documents it and as client-go, and so kubectl, does it.
# Observed (kubernetes 37.0.2 beside client-go 0.34.1): client-go selects `lab`, the Python client `production`. For
# clusters, users and contexts of equal names the first file wins in both; only the current context differs. An empty
# one in the last file, as `kubectl config unset current-context` leaves it, takes away that of the first:
# load_kube_config() raises.
# Why it matters: `kubectl get pods` shows the laboratory, and the script or the command line written in Python (also
# kfp.Client, which finds Kubeflow through this function) submits, replaces or deletes in production.
# Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files;
# https://github.com/kubernetes-client/python/pull/2386 (open).
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes==37.0.2 || exit 2
mkdir current
cat > current/main.go <<'GO'
package main

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	loaded, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		panic(err)
	}
	fmt.Println(loaded.Clusters[loaded.Contexts[loaded.CurrentContext].Cluster].Server)
}
GO
(cd current && go mod init current && go get k8s.io/client-go/tools/clientcmd@v0.34.1 && go build -o ../client-go .) > build.log 2>&1 ||
  { tail -n 3 build.log; exit 2; }
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import subprocess
import sys

READ = """
from kubernetes import client, config

try:
    config.load_kube_config()
    print(client.Configuration.get_default_copy().host)
except config.ConfigException:
    print("ConfigException")
"""


def write(path, name, server, current):
    """Write a kubeconfig with a cluster, a user and a context of one name."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{server}.example"}}],
        "users": [{"name": name, "user": {"token": name}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": current,
    }
    with open(path, "w") as file:
        json.dump(content, file)


def selected(*files):
    """Return the clusters that client-go and the Python client select from the files."""
    environment = os.environ | {"KUBECONFIG": ":".join(files)}
    return tuple(
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for command in (["./client-go"], [sys.executable, "-c", READ])
    )


write("lab", "lab", "lab", "lab")
write("production", "production", "production", "production")
write("same-name", "lab", "production", "lab")
write("unset", "other", "other", "")
found = {
    "lab:production": selected("lab", "production"),
    "production:lab": selected("production", "lab"),
    "lab:same-name": selected("lab", "same-name"),
    "lab:unset": selected("lab", "unset"),
}
recorded = {
    "lab:production": ("https://lab.example", "https://production.example"),
    "production:lab": ("https://production.example", "https://lab.example"),
    "lab:same-name": ("https://lab.example", "https://lab.example"),
    "lab:unset": ("https://lab.example", "ConfigException"),
}
for files, (go, python) in found.items():
    print(f"KUBECONFIG={files}: client-go {go}; Python {python}")
if found != recorded:
    print("CHANGED: recorded were", recorded)
    raise SystemExit(1)
print("as recorded")
PYTHON
