import os
from pathlib import Path

import pytest
import yaml

from tests.manifests.kustomize import COMPOSITIONS, build, of_kind
from tests.manifests.schema import CUSTOM, problems
from tests.support import structural_schema

ISTIO_CRD = os.environ.get("TILEPIPE_ISTIO_CRD", "")
"""Path of Istio's own kubernetes/customresourcedefinitions.gen.yaml (istio/api)."""


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_kubernetes_understands_every_field(composition):
    assert [
        line for resource in build(composition) if resource["kind"] not in CUSTOM for line in problems(resource)
    ] == []


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_each_resource_is_there_once(composition):
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in build(composition)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_all_is_in_one_namespace_and_says_whose_it_is(composition):
    metadata = [resource["metadata"] for resource in build(composition)]
    namespace = "kubeflow-user-example-com" if composition == "profile" else "kubeflow"
    assert {entry["namespace"] for entry in metadata} == {namespace}
    unlabelled = [entry["name"] for entry in metadata if "app.kubernetes.io/part-of" not in entry.get("labels", {})]
    assert unlabelled == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda deployment: deployment["spec"].update(replica=1), "no field 'replica'"),
        (lambda deployment: deployment["spec"].update(replicas="1"), "int is wanted"),
        (lambda deployment: deployment["spec"].pop("selector"), "must not be `None`"),
        (lambda deployment: deployment["spec"]["template"]["spec"].update(containers={}), "a list is wanted"),
        (lambda deployment: deployment.update(apiVersion="apps/v1beta9"), "Kubernetes has no Deployment"),
    ],
)
def test_the_schema_notices_mistakes(change, says):
    container = {"name": "one", "image": "two:3", "securityContext": {"runAsNonRoot": True}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    assert problems(deployment) == []
    change(deployment)
    assert says in problems(deployment)[0]


@pytest.mark.skipif(not ISTIO_CRD, reason="TILEPIPE_ISTIO_CRD does not name the CRDs of Istio")
def test_istio_understands_every_field():
    crds = yaml.safe_load_all(Path(ISTIO_CRD).read_text(encoding="utf-8"))
    (crd,) = [crd for crd in crds if crd and crd["spec"]["names"]["kind"] == "AuthorizationPolicy"]
    schemas = {version["name"]: version["schema"]["openAPIV3Schema"] for version in crd["spec"]["versions"]}
    policies = of_kind("istio", "AuthorizationPolicy")
    assert len(policies) == 2
    for policy in policies:
        group, _, version = policy["apiVersion"].partition("/")
        assert group == crd["spec"]["group"]
        specification = schemas[version]["properties"]["spec"]
        assert structural_schema.problems(policy["spec"], specification) == []
        assert policy["spec"]["action"] in specification["properties"]["action"]["enum"]
    wrong = {"rules": [{"to": [{"operation": {"port": ["5000"]}}]}]}
    assert structural_schema.problems(wrong, specification) == [".rules[].to[].operation: there is no field port"]
