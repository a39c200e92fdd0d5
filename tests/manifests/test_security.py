"""The restricted Pod Security profile, and what goes beyond it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

import pytest

from tests.manifests.kustomize import COMPOSITIONS, MANIFESTS, SERVICES, build, containers, of_kind, pod_specs

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition", "PriorityClass"}


@pytest.mark.parametrize("composition", SERVICES)
def test_pods_fit_the_restricted_profile(composition):
    for name, template in pod_specs(composition).items():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"].get("runAsUser") != 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "secret"}, name
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("composition", SERVICES)
def test_pods_write_only_to_their_volumes_and_are_bounded(composition):
    for name, template in pod_specs(composition).items():
        for container in containers(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
        empty = [volume["emptyDir"] for volume in template["spec"].get("volumes", []) if "emptyDir" in volume]
        assert all("sizeLimit" in volume for volume in empty), name


@pytest.mark.parametrize("composition", SERVICES)
def test_servers_say_when_they_are_ready(composition):
    for name, template in pod_specs(composition).items():
        if not name.startswith("Job/"):
            for container in template["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name


@pytest.mark.parametrize("composition", SERVICES)
def test_only_the_job_that_makes_secrets_speaks_to_kubernetes(composition):
    accounts = of_kind(composition, "ServiceAccount")
    assert [entry for entry in accounts if entry["automountServiceAccountToken"] is not False] == []
    mounting = [
        name for name, entry in pod_specs(composition).items() if entry["spec"].get("automountServiceAccountToken")
    ]
    assert mounting == (["Job/tilepipe-generate-secrets"] if composition in {"local", "generated-secrets"} else [])


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_roles_allow_what_is_needed_and_nothing_outside_the_namespace(composition):
    assert of_kind(composition, *CLUSTER_WIDE) == []
    allowed = {
        (resource, verb)
        for role in of_kind(composition, "Role")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed <= {
        ("pods", "get"),
        ("pods", "list"),
        ("pods/log", "get"),
        ("pods/log", "list"),
        ("workflows", "get"),
        ("secrets", "create"),
    }


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_no_secret_value_is_in_the_repository(composition):
    assert of_kind(composition, "Secret") == []
    for resource in build(composition):
        if resource["kind"] == "ConfigMap":
            assert not {key for key in resource["data"] if "PASSWORD" in key or "SECRET" in key or "TOKEN" in key}


def test_no_kustomization_generates_secrets():
    assert [path for path in MANIFESTS.rglob("*.yaml") if "secretGenerator" in path.read_text()] == []


def test_behind_istio_jobs_have_no_sidecar():
    jobs = {name: entry for name, entry in pod_specs("istio").items() if name.startswith("Job/")}
    assert jobs
    assert {entry["metadata"]["labels"]["sidecar.istio.io/inject"] for entry in jobs.values()} == {"false"}


def test_behind_istio_profiles_may_come_in_as_pipelines_alone():
    for policy in of_kind("istio", "NetworkPolicy"):
        profiles = [
            entry
            for rule in policy["spec"]["ingress"]
            for entry in rule["from"]
            if entry.get("namespaceSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/part-of")
        ]
        expected = (
            []
            if policy["metadata"]["name"] == "tilepipe-postgres"
            else [{"pipelines.kubeflow.org/v2_component": "true"}]
        )
        assert [entry["podSelector"]["matchLabels"] for entry in profiles] == expected
