import functools

from tilepipe.components.shared.registry.client import all_pages, registry_client


def test_all_pages_of_a_search_are_collected(mlflow_store):
    client = registry_client()
    for name in ("crops", "forests", "waters"):
        client.create_registered_model(name)
    search = functools.partial(client.search_registered_models, max_results=1)
    assert [model.name for model in all_pages(search)] == ["crops", "forests", "waters"]
    assert [model.name for model in all_pages(search, "name LIKE '%ers'")] == ["waters"]
