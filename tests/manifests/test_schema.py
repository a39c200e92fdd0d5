import pytest

from tests.manifests.kustomize import COMPOSITIONS, build
from tests.manifests.schema import CUSTOM, problems


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
