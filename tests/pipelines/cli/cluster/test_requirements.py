from tilepipe.pipelines.cli.cluster.requirements import Reference, merged_references, of_pipeline


def by_task(pipeline, **arguments):
    return {needs.task: needs for needs in of_pipeline(pipeline, arguments)}


def test_defaults_and_the_parameters_behind_them(pipeline):
    needs = by_task(pipeline)["work"]
    assert needs.image == "example.org/train:1"
    assert needs.requests == {"cpu": "500m", "memory": "8Gi"}  # no GPU: the count is 0
    assert needs.node_selector == {}
    assert needs.tolerations == []
    assert needs.parameters["memory"] == "train_memory_limit"
    assert needs.parameters["gpu"] == "train_gpu_count"
    assert needs.parameters["image"] == "train_image"
    assert needs.parameters["tolerations"] == "train_tolerations"


def test_arguments_reach_tasks_in_the_exit_handlers_group(pipeline):
    needs = by_task(
        pipeline,
        train_gpu_count="2",
        train_gpu_resource="nvidia.com/mig-1g.5gb",
        train_image="here/train:2",
        train_node_selector={"accelerator": "gpu"},
        train_tolerations=[{"key": "gpu", "operator": "Exists"}],
    )["work"]
    assert needs.requests["nvidia.com/mig-1g.5gb"] == "2"
    assert needs.image == "here/train:2"
    assert needs.node_selector == {"accelerator": "gpu"}
    assert needs.tolerations == [{"key": "gpu", "operator": "Exists"}]


def test_secrets_and_config_maps(pipeline):
    tasks = by_task(pipeline, storage_secret_name="mine")
    assert tasks["work"].references == (
        Reference("Secret", "mine", ("KEY", "OTHER"), optional=True, parameter="storage_secret_name"),
        Reference("ConfigMap", "tilepipe-s3", ("AWS_REGION",), optional=True),
    )
    assert [task.references for task in tasks.values() if task.references and task.task != "work"] == [
        (Reference("Secret", "must-be-there", ("TOKEN",), optional=False),)
    ]


def test_keys_that_tasks_read_from_one_secret_are_alternatives():
    """A Secret with a token for a STAC API alone is complete, although `pack` does not read that key."""
    from tilepipe.pipelines.cli.compilation import compiled_pipeline

    tasks = of_pipeline(compiled_pipeline.load("train_classifier"), {"data_secret_name": "mine"})
    pack = next(task for task in tasks if task.step == "pack")
    assert ("TILEPIPE_WEB_TOKENS",) in {reference.keys for reference in pack.references}
    (merged,) = [reference for reference in merged_references(tasks) if reference.name == "mine"]
    assert merged.parameter == "data_secret_name"
    assert {"TILEPIPE_STAC_TOKEN", "TILEPIPE_WEB_TOKENS"} < set(merged.keys)


def test_the_shipped_pipelines_can_be_read():
    from tilepipe.pipelines.cli.compilation import compiled_pipeline

    for name in compiled_pipeline.names():
        pipeline = compiled_pipeline.load(name)
        tasks = {needs.step: needs for needs in of_pipeline(pipeline, {"train_gpu_count": "1"})}
        assert all(needs.requests["memory"] for needs in tasks.values())
        training = "train" if name.startswith("train_") else "tune"
        if "train_gpu_count" in pipeline.parameters and training in tasks:
            assert tasks[training].requests["nvidia.com/gpu"] == "1"
        if "train_memory_limit" in pipeline.parameters and training in tasks:
            assert tasks[training].parameters["memory"] == "train_memory_limit"
