"""Every name refers to an existing resource: with a wrong one, a pod would wait forever."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from tests.manifests.kustomize import (
    COMPOSITIONS,
    EXTERNAL_S3,
    MANIFESTS,
    SERVICES,
    build,
    build_example,
    build_overlay,
    containers,
    of_kind,
    pod_specs,
)
from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines import settings
from tilepipe.pipelines.cli.compilation.platform_settings import Network
from tilepipe.pipelines.cli.registry.serving import ARTIFACTS_URI, SERVICE_ACCOUNT

SECRETS = yaml.safe_load((MANIFESTS / "base" / "secrets" / "secrets.yaml").read_text())
STORAGE = yaml.safe_load((MANIFESTS / "base" / "minio" / "setup" / "storage.yaml").read_text())


def config_maps(composition):
    return {entry["metadata"]["name"]: entry["data"] for entry in of_kind(composition, "ConfigMap")}


def named_values(template):
    """Return (kind, name, key or None) of each ConfigMap and Secret that a pod template names."""
    for container in containers(template):
        for source in container.get("envFrom", []):
            for kind, reference in source.items():
                yield kind.removesuffix("Ref"), reference["name"], None
        for variable in container.get("env", []):
            for kind, reference in variable.get("valueFrom", {}).items():
                if kind != "fieldRef":
                    yield kind.removesuffix("KeyRef"), reference["name"], reference["key"]
    for volume in template["spec"].get("volumes", []):
        if "configMap" in volume:
            yield "configMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "secret", volume["secret"]["secretName"], None


@pytest.mark.parametrize("composition", SERVICES)
def test_pods_name_config_maps_and_secrets_that_are_declared(composition):
    network = {"tilepipe-network": {"ca-bundle.crt", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}}  # which users create
    secrets = {name: entry["keys"] for name, entry in SECRETS.items()}
    there = {"configMap": config_maps(composition) | network, "secret": secrets}
    named = [reference for template in pod_specs(composition).values() for reference in named_values(template)]
    assert named
    missing = [
        (kind, name, key)
        for kind, name, key in named
        if name not in there[kind] or (key is not None and key not in there[kind][name])
    ]
    assert missing == []


@pytest.mark.parametrize("composition", SERVICES)
def test_pods_name_service_accounts_and_volumes_that_are_declared(composition):
    accounts = {account["metadata"]["name"] for account in of_kind(composition, "ServiceAccount")}
    claims = {
        f"StatefulSet/{entry['metadata']['name']}": {
            claim["metadata"]["name"] for claim in entry["spec"].get("volumeClaimTemplates", [])
        }
        for entry in of_kind(composition, "StatefulSet")
    }
    for name, template in pod_specs(composition).items():
        assert template["spec"]["serviceAccountName"] in accounts
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])} | claims.get(name, set())
        mounted = {mount["name"] for entry in containers(template) for mount in entry.get("volumeMounts", [])}
        assert mounted == volumes, name


@pytest.mark.parametrize("composition", SERVICES)
def test_services_lead_to_ports_of_pods(composition):
    templates = pod_specs(composition)
    for service in of_kind(composition, "Service"):
        selector = service["spec"]["selector"].items()
        chosen = [entry for entry in templates.values() if selector <= entry["metadata"]["labels"].items()]
        assert len(chosen) == 1, service["metadata"]["name"]
        ports = {port["name"] for entry in containers(chosen[0]) for port in entry.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("composition", SERVICES)
def test_every_service_has_a_network_policy_and_every_policy_a_service(composition):
    services = {tuple(entry["spec"]["selector"].items()) for entry in of_kind(composition, "Service")}
    policies = of_kind(composition, "NetworkPolicy")
    assert {tuple(policy["spec"]["podSelector"]["matchLabels"].items()) for policy in policies} == services
    # `from: []` and a rule without `from` would admit everybody.
    assert all(rule["from"] and rule["ports"] for policy in policies for rule in policy["spec"]["ingress"])


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_role_bindings_bind_roles_to_accounts_of_their_namespace(composition):
    roles = {role["metadata"]["name"] for role in of_kind(composition, "Role")}
    for binding in of_kind(composition, "RoleBinding"):
        assert binding["roleRef"]["name"] in roles
        assert {subject["namespace"] for subject in binding["subjects"]} == {binding["metadata"]["namespace"]}
    runner = "default-editor" if composition == "profile" else "pipeline-runner"
    bound = {subject["name"] for entry in of_kind(composition, "RoleBinding") for subject in entry["subjects"]}
    assert runner in bound


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_what_the_pipelines_name_is_declared_without_a_hash(composition):
    there = config_maps(composition)
    assert {"AWS_ENDPOINT_URL", "AWS_REGION"} <= set(there[settings.STORAGE_CONFIG])
    assert set(there[settings.TRACKING_CONFIG]) == {"MLFLOW_TRACKING_URI"}
    assert set(SECRETS[settings.STORAGE_SECRET]["keys"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert SECRETS[settings.TRACKING_SECRET]["optional"] is True


@pytest.mark.parametrize("composition", ["local", "profile", "external-s3"])
def test_the_launcher_uses_the_same_store_as_the_steps(composition):
    there = config_maps(composition)
    s3 = yaml.safe_load(there["kfp-launcher"]["providers"])["s3"]["default"]
    credentials = s3["credentials"]["secretRef"]
    keys = SECRETS[credentials["secretName"]]["keys"]
    assert {credentials["accessKeyKey"], credentials["secretKeyKey"]} == set(keys)
    steps = urlsplit(there["tilepipe-s3"]["AWS_ENDPOINT_URL"])
    assert s3["endpoint"].removeprefix("https://") == steps.netloc
    assert s3["disableSSL"] == (steps.scheme == "http")
    assert s3["region"] == there["tilepipe-s3"]["AWS_REGION"]
    buckets = {*STORAGE["buckets"], "example-runs"}
    assert there["kfp-launcher"]["defaultPipelineRoot"].split("/")[2] in buckets


@pytest.mark.parametrize("composition", sorted({*SERVICES} - {"local", "external-s3"}))
def test_a_shared_namespace_keeps_its_pipeline_root(composition):
    assert "kfp-launcher" not in config_maps(composition)


@pytest.mark.parametrize("composition", sorted({*COMPOSITIONS} - {"gpu"}))
def test_no_quota_limits_a_namespace_unasked(composition):
    assert of_kind(composition, "ResourceQuota") == []


def test_a_quota_on_gpus_is_an_option():
    (quota,) = of_kind("gpu", "ResourceQuota")
    assert set(quota["spec"]["hard"]) == {"requests.nvidia.com/gpu"}


@pytest.mark.parametrize("overlay", ["local", "cluster", "profile"])
def test_an_overlay_on_an_overlay_has_its_namespace_everywhere(overlay):
    built = list(yaml.safe_load_all(build_overlay(overlay, namespace="another")))
    assert {resource["metadata"]["namespace"] for resource in built} == {"another"}
    bindings = [resource for resource in built if resource["kind"] == "RoleBinding"]
    assert {subject["namespace"] for binding in bindings for subject in binding["subjects"]} == {"another"}
    before = "kubeflow-user-example-com" if overlay == "profile" else "kubeflow"
    values = [value for resource in built for value in texts(resource)]
    assert [value for value in values if re.search(rf"(^|[./:]){before}($|[./:])", value)] == []


def test_the_example_in_the_readme_builds_with_its_values_everywhere():
    (block,) = re.findall(r"```yaml\n(.*?)```", (MANIFESTS / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    built = build_example(block)
    assert {resource["metadata"]["namespace"] for resource in built} == {"ml"}
    assert not [resource for resource in built if "minio" in resource["metadata"]["name"]]
    there = {entry["metadata"]["name"]: entry["data"] for entry in built if entry["kind"] == "ConfigMap"}
    launcher = yaml.safe_load(there["kfp-launcher"]["providers"])["s3"]["default"]
    assert launcher["endpoint"] == there["tilepipe-s3"]["AWS_ENDPOINT_URL"] == "https://s3.eu-central-1.amazonaws.com"
    assert launcher["region"] == there["tilepipe-s3"]["AWS_REGION"] == "eu-central-1"
    assert there["kfp-launcher"]["defaultPipelineRoot"] == "s3://example-runs/artifacts"
    assert there["tilepipe-postgres"]["PGHOST"] == "postgres.example.com"
    (deployment,) = [resource for resource in built if resource["kind"] == "Deployment"]
    images = {container["image"] for container in containers(deployment["spec"]["template"])}
    assert images == {f"registry.example.com/tilepipe/mlflow:{VERSION}"}


def texts(value):
    """Yield all texts in a resource, apart from files."""
    if isinstance(value, str) and "\n" not in value:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def test_certificates_and_proxy_reach_mlflow():
    (container,) = pod_specs("network")["Deployment/tilepipe-mlflow"]["spec"]["containers"]
    variables = {entry["name"]: entry for entry in container["env"]}
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "network"]
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        assert variables[name]["value"] == f"{mount['mountPath']}/ca-bundle.crt"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        assert variables[name]["valueFrom"]["configMapKeyRef"] == {
            "name": Network(proxy=True).config_map,
            "key": name,
            "optional": True,
        }


@pytest.mark.parametrize("composition", ["local", "cluster"])
def test_addresses_are_those_of_the_services(composition):
    there = config_maps(composition)
    addresses = [there["tilepipe-s3"]["AWS_ENDPOINT_URL"], there["tilepipe-tracking"]["MLFLOW_TRACKING_URI"]]
    addresses.append(f"tcp://{there['tilepipe-postgres']['PGHOST']}:{there['tilepipe-postgres']['PGPORT']}")
    ports = {
        entry["metadata"]["name"]: [port["port"] for port in entry["spec"]["ports"]]
        for entry in of_kind(composition, "Service")
    }
    for address in map(urlsplit, addresses):
        assert address.port in ports[address.hostname]


def test_a_profile_finds_the_services_in_their_namespace():
    there, services = config_maps("profile"), of_kind("cluster", "Service")
    names = {f"{entry['metadata']['name']}.kubeflow.svc.cluster.local" for entry in services}
    assert urlsplit(there["tilepipe-s3"]["AWS_ENDPOINT_URL"]).hostname in names
    assert urlsplit(there["tilepipe-tracking"]["MLFLOW_TRACKING_URI"]).hostname in names


def test_buckets_and_their_users_fit_together():
    statements = [statement for user in STORAGE["users"].values() for statement in user]
    allowed = {bucket for entry in statements for bucket in [*entry.get("buckets", []), *entry.get("objects", [])]}
    assert allowed == set(STORAGE["buckets"])
    assert set(STORAGE["users"]) <= set(SECRETS)
    mlflow = config_maps("cluster")["tilepipe-mlflow"]["MLFLOW_ARTIFACTS_DESTINATION"]
    assert mlflow.removeprefix("s3://") in STORAGE["buckets"]
    mounted = {
        mount["mountPath"]
        for entry in containers(pod_specs("cluster")["Job/tilepipe-minio-setup"])
        for mount in entry["volumeMounts"]
    }
    assert {f"/credentials/{user}" for user in STORAGE["users"]} <= mounted


@pytest.mark.parametrize("composition", SERVICES)
def test_images_have_the_version_as_their_tag(composition):
    images = {entry["image"] for template in pod_specs(composition).values() for entry in containers(template)}
    ours = {image for image in images if "/tilepipe/" in image}
    assert {image.rpartition(":")[2] for image in ours} == {VERSION}
    assert {image.rpartition("/")[2].partition(":")[0] for image in ours} <= {
        path.name for path in (MANIFESTS.parent / "images").iterdir() if path.is_dir()
    }
    assert all(re.fullmatch(r".+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in images - ours)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_options_leave_nothing_half_removed(composition):
    names = {resource["metadata"]["name"] for resource in build(composition)}
    if composition == "external-s3":
        assert not {name for name in names if "minio" in name}
    if composition == "external-mlflow":
        assert not {name for name in names if "mlflow" in name or "postgres" in name}
        assert config_maps(composition)["tilepipe-tracking"]["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"
    if composition == "external-postgres":
        assert {r["kind"] for r in build(composition) if r["metadata"]["name"] == "tilepipe-postgres"} == {"ConfigMap"}


def test_all_options_build_in_the_order_of_the_shared_cluster():
    template = (MANIFESTS / "overlays" / "cluster" / "kustomization.yaml").read_text(encoding="utf-8")
    listed = re.findall(r"^#   - ../../options/([\w-]+)", template, re.MULTILINE)
    assert {"istio", "external-s3", "external-mlflow"} < set(listed)
    for without in ("external-postgres", "external-mlflow"):
        options = [option for option in listed if option != without]
        rest = EXTERNAL_S3 if "external-mlflow" not in options else ""
        built = list(yaml.safe_load_all(build_overlay("cluster", options, rest, namespace="another")))
        assert {resource["metadata"]["namespace"] for resource in built} == {"another"}
        names = {(resource["kind"], resource["metadata"]["name"]) for resource in built}
        assert not {name for name in names if "minio" in name[1]}
        assert ("Deployment", "tilepipe-mlflow") in names or not {name for name in names if "mlflow" in name[1]}


def test_the_service_account_of_served_models_is_that_of_their_manifest():
    found = {(r["kind"], r["metadata"]["name"]): r for r in build("serving")}
    account = found["ServiceAccount", SERVICE_ACCOUNT]
    assert [secret["name"] for secret in account["secrets"]] == ["tilepipe-mlflow-s3"]
    assert found["ConfigMap", "tilepipe-mlflow"]["data"]["MLFLOW_ARTIFACTS_DESTINATION"] == ARTIFACTS_URI
    (rule,) = found["NetworkPolicy", "tilepipe-serving-reads-minio"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 9000}]
