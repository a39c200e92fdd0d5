"""Who may speak to whom, and who may do what: NetworkPolicies and Roles read as matrices.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import pytest

from tests.manifests.kustomize import COMPOSITIONS, SERVICES, build, of_kind, pod_specs

KUBEFLOW = {"kubernetes.io/metadata.name": "kubeflow"}
PROFILE = {"kubernetes.io/metadata.name": "team", "app.kubernetes.io/part-of": "kubeflow-profile"}
STRANGER = {"kubernetes.io/metadata.name": "elsewhere"}
GATEWAY = {"kubernetes.io/metadata.name": "istio-system"}
STEP = {"pipelines.kubeflow.org/v2_component": "true"}

# Name -> labels of the namespace and of the pod.
CALLERS = {
    "step": (KUBEFLOW, STEP),
    "KFP's API": (KUBEFLOW, {"app": "ml-pipeline"}),
    "KFP's UI": (KUBEFLOW, {"app": "ml-pipeline-ui"}),
    "MLflow": (KUBEFLOW, {"app.kubernetes.io/name": "tilepipe-mlflow"}),
    "MinIO": (KUBEFLOW, {"app.kubernetes.io/name": "tilepipe-minio"}),
    "PostgreSQL": (KUBEFLOW, {"app.kubernetes.io/name": "tilepipe-postgres"}),
    "MinIO's setup": (KUBEFLOW, {"app.kubernetes.io/name": "tilepipe-minio-setup"}),
    "secrets' job": (KUBEFLOW, {"app.kubernetes.io/name": "tilepipe-generate-secrets"}),
    "served model": (KUBEFLOW, {"serving.kserve.io/inferenceservice": "forests"}),
    "notebook": (KUBEFLOW, {"app": "notebook"}),
    "unlabelled pod": (KUBEFLOW, {}),
    "profile's step": (PROFILE, STEP),
    "profile's notebook": (PROFILE, {"app": "notebook"}),
    "stranger": (STRANGER, {}),
    "stranger with our labels": (STRANGER, {**STEP, "app.kubernetes.io/name": "tilepipe-mlflow", "app": "ml-pipeline"}),
    "Istio's gateway": (GATEWAY, {"app": "istio-ingressgateway"}),
    "Istio's control plane": (GATEWAY, {"app": "istiod"}),
}
SERVERS = {"MinIO": (9000, 9001), "MLflow": (5000,), "PostgreSQL": (5432,)}
"""Server -> all ports that its containers listen on."""

ALLOWED = {
    ("step", "MinIO", 9000),
    ("KFP's API", "MinIO", 9000),
    ("KFP's UI", "MinIO", 9000),
    ("MLflow", "MinIO", 9000),
    ("MinIO's setup", "MinIO", 9000),
    ("step", "MLflow", 5000),
    ("KFP's API", "MLflow", 5000),
    ("MLflow", "PostgreSQL", 5432),
}
"""The whole matrix outside of Istio: everything else is refused."""
# Behind Istio users come through its gateway, and steps run in the namespaces of profiles.
BEHIND_ISTIO = ALLOWED | {
    ("profile's step", "MinIO", 9000),
    ("profile's step", "MLflow", 5000),
    ("Istio's gateway", "MLflow", 5000),
}

WITH_SERVING = ALLOWED | {("served model", "MinIO", 9000)}

# Role -> group, resource and verb; nothing else may be in any role.
RIGHTS = {
    "tilepipe-pipelines": {
        ("", "pods", "get"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        ("", "pods/log", "list"),
        ("argoproj.io", "workflows", "get"),
    },
    "tilepipe-generate-secrets": {("", "secrets", "create")},
}


def selects(selector, labels):
    """Evaluate a label selector; an empty one selects everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] in {"In", "Exists"}, "extend this evaluation"
        if wanted["key"] not in labels or labels[wanted["key"]] not in wanted.get("values", [labels[wanted["key"]]]):
            return False
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    return True


def admits(peer, caller, namespace):
    """Evaluate one entry of `from`; without a selector of namespaces it means the policy's own."""
    home, labels = caller
    assert set(peer) <= {"podSelector", "namespaceSelector"}, "extend this evaluation"
    is_there = (
        selects(peer["namespaceSelector"], home)
        if "namespaceSelector" in peer
        else home["kubernetes.io/metadata.name"] == namespace
    )
    return is_there and selects(peer.get("podSelector", {}), labels)


def may_speak(composition, caller, server, port):
    """Return whether the policies of a composition let a pod reach a port of a server."""
    _, labels = CALLERS[server]
    policies = [
        policy
        for policy in of_kind(composition, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels) and "Ingress" in policy["spec"]["policyTypes"]
    ]
    if not policies:  # Kubernetes admits everything to pods without a policy
        return True
    return any(
        (
            "from" not in rule
            or any(admits(peer, CALLERS[caller], policy["metadata"]["namespace"]) for peer in rule["from"])
        )
        and ("ports" not in rule or any(entry["port"] == port for entry in rule["ports"]))
        for policy in policies
        for rule in policy["spec"].get("ingress", [])
    )


def served(composition):
    """Return the servers of a composition."""
    names = set(pod_specs(composition))
    kinds = {
        "MinIO": "StatefulSet/tilepipe-minio",
        "MLflow": "Deployment/tilepipe-mlflow",
        "PostgreSQL": "StatefulSet/tilepipe-postgres",
    }
    return {server for server, name in kinds.items() if name in names}


@pytest.mark.parametrize("composition", SERVICES)
def test_who_may_speak_to_whom(composition):
    there = served(composition)
    assert there
    found = {
        (caller, server, port)
        for caller in CALLERS
        for server in there
        for port in SERVERS[server]
        if may_speak(composition, caller, server, port)
    }
    expected = {"istio": BEHIND_ISTIO, "serving": WITH_SERVING}.get(composition, ALLOWED)
    assert found == {entry for entry in expected if entry[1] in there}


@pytest.mark.parametrize("composition", SERVICES)
def test_the_matrix_has_every_server_and_port(composition):
    for name, template in pod_specs(composition).items():
        listening = {
            entry["containerPort"] for each in template["spec"]["containers"] for entry in each.get("ports", [])
        }
        labels = template["metadata"]["labels"]
        server = next((server for server in SERVERS if CALLERS[server][1].items() <= labels.items()), None)
        assert listening == set(SERVERS.get(server, ())), name
        assert listening or name.startswith("Job/")
        assert any(pod.items() <= labels.items() for _, pod in CALLERS.values() if pod), f"{name} is not in the matrix"


@pytest.mark.parametrize("composition", SERVICES)
def test_services_are_not_opened_to_the_outside(composition):
    for service in of_kind(composition, "Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
        assert not {"externalIPs", "loadBalancerIP", "externalName"} & set(service["spec"])
    assert of_kind(composition, "Ingress") == []


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_every_verb_of_every_role_is_listed(composition):
    for role in of_kind(composition, "Role"):
        rights = {
            (group, resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert rights == RIGHTS[role["metadata"]["name"]]
        assert all(set(rule) == {"apiGroups", "resources", "verbs"} for rule in role["rules"])


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_every_role_is_bound_to_the_account_that_needs_it(composition):
    users = {"tilepipe-pipelines": {"pipeline-runner", "default-editor"}}
    names = {role["metadata"]["name"] for role in of_kind(composition, "Role")}
    bindings = of_kind(composition, "RoleBinding")
    assert {binding["roleRef"]["name"] for binding in bindings} == names
    for binding in bindings:
        assert binding["roleRef"]["kind"] == "Role"
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            assert subject["name"] in users.get(binding["roleRef"]["name"], {binding["roleRef"]["name"]})
    accounts = {entry["metadata"]["name"] for entry in of_kind(composition, "ServiceAccount")}
    mine = {entry["spec"]["serviceAccountName"] for entry in pod_specs(composition).values()}
    assert mine <= accounts, [resource["kind"] for resource in build(composition)]
