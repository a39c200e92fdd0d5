"""Every mistake in the arguments is reported before anything starts."""

import pytest
from kfp import compiler, dsl

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli import app, arguments
from tilepipe.pipelines.cli.compilation import compiled_pipeline

REQUIRED = {
    "data_source": "/tiles",
    "model_name": "forests",
    "model_uri": "/model.tar.gz",
    "scene_uris": "scene.tif",
    "tune_space": '{"train_learning_rate": [0.001, 0.01]}',
}
"""A value of each required parameter."""


@pytest.fixture
def pipeline():
    return compiled_pipeline.load("train_classifier")


def collect(pipeline, *words, config=None):
    return arguments.collect(pipeline, config, ["data_source=/tiles", *words])


def test_words_take_the_parameters_types(pipeline):
    found = collect(
        pipeline,
        "train_epochs=3",
        "train_learning_rate=1",
        "train_gpu_count=0",
        "data_bands=B04, B03",
        'train_node_selector={"accelerator": "gpu"}',
        "train_augmentation=[]",
    )
    assert found["train_epochs"] == 3
    assert found["train_learning_rate"] == 1.0
    assert isinstance(found["train_learning_rate"], float)
    assert found["train_gpu_count"] == "0"
    assert found["data_bands"] == ["B04", "B03"]
    assert found["train_node_selector"] == {"accelerator": "gpu"}
    assert found["train_augmentation"] == []


def test_words_win_over_the_file(pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train_epochs: 7\nseed: 4\ntrain_gpu_count: 0\n", encoding="utf-8")
    found = collect(pipeline, "train_epochs=2", config=path)
    assert (found["train_epochs"], found["seed"], found["train_gpu_count"]) == (2, 4, "0")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train_epoch=3", "Did you mean train_epochs?"),
        ("zzz=3", "`zzz` is not a parameter"),
        ("train_epochs=many", "`train_epochs` must be a whole number. Received: train_epochs='many'"),
        ("train_epochs=true", "`train_epochs` must be a whole number"),
        ("train_epochs=1.5", "`train_epochs` must be a whole number"),
        ("train_epochs=0", "`train_epochs`"),
        ("train_learning_rate=-1", "`train_learning_rate`"),
        ("train_learning_rate=NaN", "`train_learning_rate`"),
        ("train_optimizer=lion", "`train_optimizer`"),
        ("train_node_selector=3", "`train_node_selector` must be a JSON object"),
        ('split_fractions={"train": 0.9, "val": 0.5}', "split_fractions"),
        ('train_options={"surprise": 1}', "`train_options.surprise` is not a parameter. Received: train_options="),
        ('train_options={"surprise": 1}', "Use one of: best_metric, "),
        ('train_options={"shedule": "cosine"}', """Did you mean train_options='{"schedule": ...}'?"""),
        ('data_columns={"lable": "x"}', """Did you mean data_columns='{"label": ...}'?"""),
        ('train_options={"best_metric": "val_acuracy"}', "Did you mean val_accuracy?"),
        ('train_options={"best_metric": "val_recal/Forest"}', "Did you mean val_recall/Forest?"),
        ('train_options={"best_metric": "val_speed"}', "Use one of: val_loss, val_accuracy, "),
        ('train_options={"seed": 1, "seed": 2}', "Each key in `train_options` must be given once."),
        ('pack_options={"max_quarantine_percent": 300}', """pack_options='{"max_quarantine_percent": 300}'"""),
        ('pack_options={"tile_size": 64}', """should be a list. Received: pack_options='{"tile_size": 64}'. """),
        ("model_architecture=alexnet", "`model_architecture`"),
        ("train_gpu_count=two", "`train_gpu_count`"),
        ("pack_workers=0", "`pack_workers` should be greater than or equal to 1"),
        ('pack_options={"allow_duplicate": true}', "pack_options.allow_duplicate"),
        ("data_snapshot=[[ScheduledTime]]", "fills in"),
        ("nonsense", "Received: 'nonsense'. Add the missing `=`."),
        ("train_options={'schedule': 'cosine'}", """For example, use train_options='{"schedule": "cosine"}'."""),
    ],
)
def test_mistakes(pipeline, word, said):
    with pytest.raises(ParameterError) as error:
        collect(pipeline, word)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "words",
    [("train_augmentation=flip,", "shift"), ("train_options={schedule:", "cosine}"), ("train_options={a:[1,", "2]}")],
)
def test_a_value_that_the_shell_split(pipeline, words):
    with pytest.raises(ParameterError) as error:
        collect(pipeline, *words)
    name = words[0].partition("=")[0]
    assert f"Received: {words[1]!r}. Put a value with spaces in single quotes: {name}='...'." in str(error.value)


def test_all_mistakes_at_once(pipeline):
    with pytest.raises(ParameterError) as error:
        arguments.collect(pipeline, None, ["train_epochs=x", "zzz=1"])
    assert len(str(error.value).splitlines()) == 3  # the two, and the missing data_source


def test_config_that_is_missing_or_no_mapping(pipeline, tmp_path):
    with pytest.raises(ParameterError, match="--config"):
        collect(pipeline, config=tmp_path / "absent.yaml")
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="--config"):
        collect(pipeline, config=path)


def test_defaults_pass_the_steps_own_checks():
    for name in compiled_pipeline.names():
        pipeline = compiled_pipeline.load(name)
        required = [parameter.name for parameter in pipeline.parameters.values() if parameter.required]
        given = arguments.collect(pipeline, None, [f"{name}={REQUIRED[name]}" for name in required])
        assert list(given) == required


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def export_csv(name: str, options: dict):
    print(name, options)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def train(epochs: int, optimizer: str):
    print(epochs, optimizer)


@dsl.pipeline(name="own")
def own(name: str, options: dict, epochs: int, optimizer: str):
    export_csv(name=name, options=options)
    train(epochs=epochs, optimizer=optimizer)


def test_components_of_others_that_are_called_like_steps_have_their_own_rules(tmp_path):
    compiler.Compiler().compile(own, str(tmp_path / "own.yaml"))
    pipeline = compiled_pipeline.CompiledPipeline("own", tmp_path / "own.yaml")
    given = {"name": "my forests", "options": {"sep": ";"}, "epochs": 0, "optimizer": "lbfgs"}
    words = ["name=my forests", 'options={"sep": ";"}', "epochs=0", "optimizer=lbfgs"]
    assert arguments.collect(pipeline, None, words) == given
    assert [task.structs for task in pipeline.tasks] == [{}, {}]


def test_commands_in_messages_name_a_file_by_its_path(tmp_path):
    path = tmp_path / "my own.yaml"
    compiler.Compiler().compile(own, str(path))
    with pytest.raises(ParameterError) as caught:
        arguments.collect(compiled_pipeline.load(str(path)), None, ["options={}", "epochs=1", "optimizer=a"])
    assert f"`tilepipe run '{path}' name --help` describes" in str(caught.value)


def test_the_items_of_a_list_are_checked_one_by_one():
    pipeline = compiled_pipeline.load("predict_scenes")
    model = "model_uri=/model.tar.gz"
    assert arguments.collect(pipeline, None, [model, "scene_uris=a.tif,b.tif"])["scene_uris"] == ["a.tif", "b.tif"]
    assert arguments.collect(pipeline, None, [model, "scene_uris=[]"])["scene_uris"] == []
    with pytest.raises(ParameterError, match=r"Received: 'ftp://b\.tif'") as error:
        arguments.collect(pipeline, None, [model, "scene_uris=a.tif,ftp://b.tif"])
    assert "a.tif" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1", "seed=2"], "`seed` is given 2 times. Received: seed=1 seed=2. Give it once."),
        (["export_enabled=false", "export_name=x"], "`export_name` has no effect with export_enabled=false"),
        (["export_enabled=false", "register_name=x"], "`register_name` has no effect with export_enabled=false"),
        (["register_enabled=false", "register_name=x"], "`register_name` has no effect with register_enabled=false"),
        (
            ["split_merge_train_val=true", 'train_options={"early_stopping_patience_epochs": 3}'],
            """split_merge_train_val=true train_options='{"early_stopping_patience_epochs": 3}'. Leave one""",
        ),
        (
            ['train_options={"head_epochs": 2}'],
            """Received: train_options='{"head_epochs": 2}' model_architecture=cnn. Leave one""",
        ),
        (
            [
                "model_architecture=resnet50",
                "model_weights_uri=imagenet",
                'model_options={"trainable_backbone": "none"}',
                'train_options={"head_epochs": 2}',
            ],
            """Received: train_options='{"head_epochs": 2}' model_options='{"trainable_backbone": "none"}'. Leave""",
        ),
        (
            ['pack_options={"tile_size": [64, 32]}'],
            """pack_options='{"tile_size": [64, 32]}'. Use train_augmentation='["flip"]'.""",
        ),
        (["train_optimizer=sgd", 'train_options={"second_momentum": 0.9}'], "train_optimizer='sgd'"),
    ],
)
def test_contradictions_are_found_before_data_are_read(pipeline, words, said):
    with pytest.raises(ParameterError) as caught:
        collect(pipeline, *words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ['tune_space={"model_architecture": ["compact", "resnet50"]}', 'train_options={"head_epochs": 2}'],
        ['tune_space={"train_augmentation": [["flip"], []]}', 'pack_options={"tile_size": [64, 32]}'],
    ],
)
def test_the_candidates_of_a_sweep_may_replace_what_contradicts(words):
    sweep = compiled_pipeline.load("tune_classifier")
    assert "tune_space" in arguments.collect(sweep, None, ["data_source=/tiles", *words])


def test_a_key_that_a_file_gives_twice_is_refused(pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed: 4\nseed: 5\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="seed is given twice, again in line 2"):
        collect(pipeline, config=path)


def test_keys_and_dates_of_a_file_are_text(pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    text = "data_recode: {1: Forest, 007: Sea, no: Road, 2020-01-01: ''}\ndata_snapshot: 2026-01-02\nseed: 10"
    path.write_text(f"{text}\ntrain_options: {{<<: &a {{schedule: cosine}}}}\n", encoding="utf-8")
    found = collect(pipeline, config=path)
    assert found["data_recode"] == {"1": "Forest", "007": "Sea", "no": "Road", "2020-01-01": ""}
    assert found["data_snapshot"] == "2026-01-02"
    assert found["train_options"] == {"schedule": "cosine"}


def test_errors_of_yaml_name_the_file(pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("seed:\t3\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r'in ".*run\.yaml", line 1'):
        collect(pipeline, config=path)


def test_a_value_of_several_possible_types_is_one_problem():
    words = ['scene_uris=["s3://bucket/scene.tif"]', "model_uri=models:/a@champion", "output_uri=maps/"]
    with pytest.raises(ParameterError) as error:
        arguments.collect(compiled_pipeline.load("predict_scenes"), None, [*words, 'scene_options={"nodata": "zero"}'])
    assert str(error.value) == (
        "`scene_options.nodata` should be a valid number, unable to parse string as a number, or 'nan'. Received: "
        """scene_options='{"nodata": "zero"}'."""
    )


@pytest.mark.parametrize("written", ["010", "1.10", "2026_11", "12:30", "0x10", "1e3", "on"])
def test_text_in_a_file_is_what_it_is_on_the_command_line(written, pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    lines = [f"tracking_experiment: {written}", "<<: &a {data_source: 007}", f"data_classes: [a, '{written}']"]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = arguments.collect(pipeline, path, [])
    assert found == collect(pipeline, f"tracking_experiment={written}", f"data_classes=a,{written}") | {
        "data_source": "007"
    }


def test_numbers_of_a_file_are_those_that_people_read(pipeline, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "train_epochs: +3\ntrain_learning_rate: .5\nseed: 0\nmodel_options: {dropout: 1.e-1}\ndata_classes: [01, 1_0]\n"
        "train_options: {weight_decay: 1e-4}\n",
        encoding="utf-8",
    )
    found = collect(pipeline, config=path)
    assert (found["train_epochs"], found["train_learning_rate"], found["seed"]) == (3, 0.5, 0)
    assert found["model_options"] == {"dropout": 0.1}
    assert found["data_classes"] == ["01", "1_0"]
    for written in ("010", "0x10", "1:30"):
        path.write_text(f"train_epochs: {written}\n", encoding="utf-8")
        with pytest.raises(ParameterError, match=f"`train_epochs` must be a whole number. Received: .*{written}"):
            collect(pipeline, config=path)


@pytest.mark.parametrize("given", ["[B04,B03]", "['B04', 'B03']", " [ B04, B03 ] "])
def test_brackets_do_not_become_part_of_names(given, pipeline):
    with pytest.raises(ParameterError) as raised:
        collect(pipeline, f"data_bands={given}")
    assert 'Give data_bands=B04,B03, or data_bands=\'["B04", "B03"]\'.' in str(raised.value)
    assert collect(pipeline, "data_bands=B04,B03") == collect(pipeline, 'data_bands=["B04", "B03"]')


@pytest.mark.parametrize("command", [["run"], ["submit"], ["schedule", "nightly", "--every-minutes", "5"]])
def test_several_files_are_refused(command, monkeypatch, capsys, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("train_epochs: 2\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = [*command, "train_classifier", "--config", "a.yaml", "data_source=s3://a/b", "--config", "b.yaml"]
    monkeypatch.setattr("sys.argv", ["tilepipe", *words])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--config must be given once. Received: --config a.yaml --config b.yaml." in said
