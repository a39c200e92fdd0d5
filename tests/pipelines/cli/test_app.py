"""The command line as a whole: exit codes in its help, and colors only in terminals."""

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tilepipe.pipelines.cli import app

COMMAND = [sys.executable, "-m", "tilepipe.pipelines.cli.app"]


def test_exit_codes_are_listed_in_the_help_and_in_the_readme(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tilepipe", "--help"])
    with pytest.raises(SystemExit):
        app.main()
    listed = re.findall(r"^ +(\d+) +(.+)$", capsys.readouterr().out.partition("Exit codes:")[2], re.MULTILINE)
    expected = [(str(code), meaning) for code, meaning in app.EXIT_CODES.items()]
    assert listed == expected
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [(code, meaning.replace("`", "")) for code, meaning in rows] == expected


@pytest.mark.parametrize(
    ("word", "remedy"), [("--data_source=a", "data_source=a"), ("--data_source", "data_source=...")]
)
def test_a_parameter_with_dashes(word, remedy, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tilepipe", "run", "train_classifier", word])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    assert f"Received: {word}. Write {remedy} without dashes." in " ".join(capsys.readouterr().err.split())


def test_paths_are_printed_as_they_are(tmp_path):
    folder = tmp_path / "[red] :key: [" / "b]"  # with rich's markup, `[/b]` is a traceback and the others vanish
    words = ["compile", "promote", "--out", str(folder)]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=True)
    assert f"{folder / 'promote.yaml'}: written" in done.stdout


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colors_in_a_terminal(variables, colored):
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"}}
    with os.fdopen(ours, "rb") as terminal:
        done = subprocess.run(
            [*COMMAND, "run", "absent"],
            env=environment | {"TERM": "xterm"} | variables,
            stdout=theirs,
            stderr=theirs,
            timeout=60,
            check=False,
        )
        written = os.read(terminal.fileno(), 100_000).decode()
        os.close(theirs)
    assert done.returncode == 2
    assert "A pipeline is one of" in written
    assert ("\x1b[31m" in written) is colored


def test_no_colors_in_a_pipe():
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"}}
    done = subprocess.run(
        [*COMMAND, "run", "absent"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "A pipeline is one of" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_an_error_does_not_move_the_cursor(monkeypatch, capsys, tmp_path):
    (tmp_path / "run.yaml").write_text(r'"\x1b[2J\x9btitle": 1', encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["tilepipe", "run", "train_classifier", "--config", str(tmp_path / "run.yaml")])
    with pytest.raises(SystemExit) as raised:
        app.main()
    assert raised.value.code == 2
    assert r"\x1b[2J\x9btitle" in (shown := capsys.readouterr().err)
    assert not {"\x1b", "\x9b"} & set(shown)


def test_names_of_pipelines_and_of_their_parameters_are_completed():
    environment = os.environ | {"_TILEPIPE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}

    def completed(words, number):
        variables = environment | {"COMP_WORDS": f"tilepipe run {words}", "COMP_CWORD": str(number)}
        program = "import sys; sys.argv[0] = 'tilepipe'; from tilepipe.pipelines.cli.app import app; app()"
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=60, check=False
        ).stdout.split()

    assert completed("promo", 2) == ["promote"]
    assert completed("promote gate", 3) == ["gate_floors=", "gate_options="]


@pytest.mark.parametrize(
    ("variable", "given", "expected"),
    [
        ("MLFLOW_DISABLE_TELEMETRY", None, "true"),
        ("MLFLOW_DISABLE_TELEMETRY", "false", "false"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", None, "false"),
    ],
)
def test_settings_of_mlflow_are_those_of_the_images_unless_they_are_given(
    monkeypatch, capsys, variable, given, expected
):
    monkeypatch.setattr(sys, "argv", ["tilepipe", "version"])
    monkeypatch.setenv(variable, given or "")
    if given is None:
        monkeypatch.delenv(variable)
    with pytest.raises(SystemExit):
        app.main()
    assert os.environ[variable] == expected
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["compile", "train_clasifier"], "Did you mean train_classifier?"),
        (["compile", "nothing"], "Choose one of these."),
        (["compile", "--registry", "https://host.org/a"], "such as host.org/a. Received: 'https://host.org/a'."),
        (["compile", "--tag", "a b"], "--tag must have up to 128 letters"),
        (["weights", "resnet5", "w.h5"], "Did you mean resnet50?"),
        (
            ["run", "tune_classifier", "data_source=x"],
            "which `tilepipe run tune_classifier tune_space --help` describes.",
        ),
    ],
)
def test_a_wrong_or_missing_name_has_a_remedy(words, remedy, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tilepipe", *words])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    assert remedy in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["compile", "train_classifier_small", "--out", "file/x"], ["run", "train_classifier_small", "data_source=."]],
)
def test_a_place_that_is_not_writable_is_one_error(words, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "runs").touch()  # where `run` makes its folder; root may write to read-only ones
    monkeypatch.setattr("sys.argv", ["tilepipe", *words])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    assert "error: A file must be writable. Received: " in capsys.readouterr().err


def test_other_errors_of_the_system_keep_their_traceback(monkeypatch):
    def fail():
        raise ConnectionResetError(104, "reset")

    monkeypatch.setattr(app, "app", fail)
    monkeypatch.setattr("sys.argv", ["tilepipe"])
    with pytest.raises(ConnectionResetError):
        app.main()
