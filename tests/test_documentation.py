"""Documentation that runs: commands, pipeline examples and links of all README files."""

import ast
import os
import re
import runpy
import shlex
import shutil
import typing
from pathlib import Path

import pytest
import typer.main
import yaml
from kfp import compiler, dsl

from tests.support.documented_commands import lines
from tilepipe.pipelines.cli import arguments
from tilepipe.pipelines.cli.app import app
from tilepipe.pipelines.cli.compilation import compiled_pipeline

ROOT = Path(__file__).parents[1]
FOLDERS = (".github", "components", "findings", "images", "manifests", "pipelines")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
READMES = [name for name in NAMES if name.endswith("README.md")]
STEPS = (
    "snapshot",
    "ingest",
    "pack",
    "prepare",
    "train",
    "evaluate",
    "export",
    "register",
    "predict_scenes",
    "gate",
    "promote",
    "finish",
)
CHECKED = ("run", "submit", "schedule")


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced code blocks of a page in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def inline(name: str) -> list[str]:
    """Return the code spans of a page outside fenced blocks."""
    text = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def commands() -> list[tuple[str, str]]:
    """Return the page and the text of every `tilepipe` command in the README files."""
    return [(name, line) for name in READMES for line in [*lines(ROOT / name), *inline(name)] if is_command(line)]


def is_command(line: str) -> bool:
    """Return whether a code span is a whole `tilepipe` command, not only its name or its form."""
    name = re.match(r"tilepipe ([a-z]+) +\S", line)
    return bool(name and (name[1] in CHECKED or not re.search(r"\b[A-Z]{3,}\b(?!=)", line)))


def settings() -> list[tuple[str, str]]:
    """Return the page and the text of every `parameter=value` that the pages for users show beside a command."""
    pages = ("README.md", "pipelines/examples/README.md")
    return [(page, code) for page in pages for code in inline(page) if re.match(r"[a-z]+(_[a-z]+)+=", code)]


def check(words: list[str], config: Path | None = None, pipeline: str = "train_classifier") -> dict:
    """Check the parameters of a run as `tilepipe run` does before it starts."""
    return arguments.collect(compiled_pipeline.load(pipeline), config, words)


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_accepted(page, line, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    _, name, *rest = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, rest) as context:  # unknown or missing options raise here
        given = context.params
    if given.get("show_help") or name not in CHECKED:
        return
    config, pipeline = given.get("config"), given["pipeline"]
    if pipeline.endswith(".yaml"):
        (block,) = (block for block in blocks(page, "python") if f'"{pipeline}")' in block)
        monkeypatch.chdir(tmp_path)
        Path("own.py").write_text(block, encoding="utf-8")
        runpy.run_path("own.py")
    checked = check(given.get("words") or [], arguments.only_file(config), pipeline)
    required = {p.name for p in compiled_pipeline.load(pipeline).parameters.values() if p.required}
    assert required
    assert required <= checked.keys()


@pytest.mark.parametrize(("page", "code"), settings())
def test_settings_in_the_readme_are_accepted(page, code):
    words = shlex.split(code)
    assert check(["data_source=tiles/", *[word for word in words if not word.startswith("data_source=")]])


def test_the_readme_shows_commands():
    assert len([page for page, _ in commands() if page == "README.md"]) >= 10
    assert len(settings()) >= 2


def test_the_scripts_of_the_pages_exist():
    words = [line.split()[0] for name in READMES for line in lines(ROOT / name) if line.startswith("pipelines/")]
    assert len(words) >= 4
    assert [word for word in words if not os.access(ROOT / word, os.X_OK)] == []


def test_a_wrong_command_would_be_noticed():
    with pytest.raises(arguments.ParameterError, match="Did you mean train_epochs"):
        check(["data_source=tiles/", "train_epoch=3"])


@pytest.mark.parametrize("name", NAMES)
def test_python_blocks_compile(name):
    for block in blocks(name, "python"):
        assert ast.parse(block).body


def test_examples_of_the_steps_compile_as_one_pipeline(tmp_path):
    examples = [(step, block) for step in STEPS for block in blocks(f"components/{step}/README.md", "python")]
    assert {step for step, _ in examples} == set(STEPS)
    names: dict[str, typing.Any] = {"dsl": dsl}
    for step in STEPS:
        component = __import__(f"tilepipe.components.{step}.component", fromlist=["component"])
        names |= {key: value for key, value in vars(component).items() if hasattr(value, "component_spec")}

    @dsl.pipeline(name="examples")
    def pipeline(data_source: str, data_snapshot: str = "", pack_workers: int = 1) -> None:
        names.update(data_source=data_source, data_snapshot=data_snapshot, pack_workers=pack_workers)
        for step, block in examples:
            code = re.sub(r"^( +)\.\.\.$", r"\1snapshot_source()", block, flags=re.MULTILINE)
            exec(compile(code, f"components/{step}/README.md", "exec"), names)

    compiler.Compiler().compile(pipeline, str(tmp_path / "examples.yaml"))
    spec = next(yaml.safe_load_all((tmp_path / "examples.yaml").read_text()))
    used = set(spec["components"])
    for step in (*STEPS, "merge"):
        name = step.replace("_", "-").removesuffix("s")  # predict_scenes is the pipeline of predict_scene
        assert any(component.startswith(f"comp-{name}") for component in used), step


def test_the_site_has_every_page():
    """`make docs` builds it, and fails on broken links."""
    navigation = runpy.run_path(str(ROOT / ".github" / "site" / "navigation.py"))
    assert sorted(navigation["PAGES"]) == [name for name in NAMES if not name.startswith(".github/")]
    assert "/components/train/README\n" in navigation["toctrees"]()


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_resolve(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page if not path else (page.parent / path).resolve()
        assert there.exists(), f"{name} links to {target}, which does not exist"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{name} links to {target}, which has no such heading"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", READMES)
def test_commands_for_one_object_name_its_namespace(name):
    """The namespace of a new kubeconfig is `default`, where nothing of tilepipe's is."""
    verb = re.compile(r"kubectl .*\b(annotate|create|delete|exec|get|port-forward|rollout) (?!-k)")
    found = [line for line in [*lines(ROOT / name), *inline(name)] if verb.search(line)]
    assert [line for line in found if not re.search(r"kubectl -n \S+ |kubectl .* -n \S+ ", line)] == []


@pytest.mark.parametrize("name", READMES)
def test_functions_of_a_shell_example_hide_no_program(name):
    """After `make() { ...; }`, the targets of the Makefile are arguments of that function."""
    functions = re.findall(r"^(\w+)\(\) \{", "\n".join(blocks(name, "sh")), re.MULTILINE)
    assert [function for function in functions if shutil.which(function)] == []
