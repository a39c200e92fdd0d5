"""The commands of the model registry: models, promote and rollback."""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from tilepipe.pipelines.cli.output import plain_console
from tilepipe.pipelines.cli.registry.serving import ARTIFACTS_URI, SERVICE_ACCOUNT
from tilepipe.pipelines.cli.run_folder import DEFAULT_FOLDER

console = plain_console(soft_wrap=True)

Folder = Annotated[
    Path, typer.Option(help="Folder of local runs, whose registry is used if MLFLOW_TRACKING_URI is not set.")
]
Name = Annotated[str, typer.Argument(help="Name of the model in the registry.")]


class Output(StrEnum):
    """Format of the output."""

    TABLE = "table"
    JSON = "json"


class _ListsByDefault(TyperGroup):
    """A group whose first word, if it is no command, is an argument of `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's or click's, by version
        """Insert `list` before anything but a command or a request for help."""
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["list", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


models = typer.Typer(
    cls=_ListsByDefault,
    add_completion=False,
    rich_markup_mode=None,
    help="List registered models, the versions of a model (`tilepipe models NAME`), or a manifest that serves one.",
)


@models.command(name="list")
def list_models(
    name: Annotated[str, typer.Argument(help="Name of a model, whose versions are listed. Default: all models.")] = "",
    output: Annotated[Output, typer.Option(help="Format of the output.")] = Output.TABLE,
    limit: Annotated[int, typer.Option(help="Number of versions, newest first.", min=1)] = 20,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """List registered models: versions, aliases, verdicts of the gate, main figures and promotions.

    `tilepipe models` and `tilepipe models NAME` do the same.
    """
    from tilepipe.pipelines.cli.registry import listing, registry_display
    from tilepipe.pipelines.cli.registry.local_registry import open_registry

    with open_registry(folder) as client:
        if name:
            state, rows = listing.list_versions(client, name, limit)
            if output == Output.JSON:
                typer.echo(json.dumps(listing.as_document(state, rows), indent=2))
            else:
                registry_display.versions(console, state, rows)
            return
        found = listing.list_models(client)
        if output == Output.JSON:
            typer.echo(json.dumps([asdict(row) for row in found], indent=2))
        else:
            registry_display.models(console, found)


@models.command(name="serve-manifest")
def serve_manifest(
    model: Annotated[
        str, typer.Argument(metavar="NAME[@ALIAS|/VERSION]", help="Version to serve. Default: @champion.")
    ],
    service_name: Annotated[str, typer.Option(help="Name of the service; default: that of the model.")] = "",
    namespace: Annotated[str, typer.Option(help="Namespace of the service.")] = "",
    service_account: Annotated[
        str, typer.Option(help="Service account that may read the model; '' for the namespace's default.")
    ] = SERVICE_ACCOUNT,
    artifacts_uri: Annotated[
        str, typer.Option(help="Where the MLflow server keeps the artifacts that it proxies.")
    ] = ARTIFACTS_URI,
    storage_uri: Annotated[str, typer.Option(help="Address of the MLflow model; default: the registered one.")] = "",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Print the manifest of a KServe InferenceService for a registered version (YAML)."""
    from tilepipe.components.shared.registry.registered_version import find_version
    from tilepipe.components.shared.registry.version_tags import CHAMPION
    from tilepipe.pipelines.cli.compilation import yaml_text
    from tilepipe.pipelines.cli.registry import serving
    from tilepipe.pipelines.cli.registry.local_registry import open_registry

    with open_registry(folder) as client:
        version = find_version(client, model if {"@", "/"} & set(model) else f"{model}@{CHAMPION}")
        uri = storage_uri or serving.storage_uri(client, version, artifacts_uri)
    manifest = serving.inference_service(
        version, uri, name=service_name, namespace=namespace, service_account=service_account
    )
    typer.echo(yaml_text.dump_all([manifest], sort_keys=False), nl=False)


def promote(
    name: Name,
    version: Annotated[str, typer.Option(help="Version to promote: its number or an alias.")] = "challenger",
    yes: Annotated[bool, typer.Option("--yes", help="Override the verdict of the gate; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Reason for the history.")] = "",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Make a version the champion.

    The gate must have accepted it against the present champion (`tilepipe run promote` judges and promotes), unless
    --yes and --reason are given.
    """
    from tilepipe.components.promote.config import PromoteConfig
    from tilepipe.components.shared.errors import ParameterError
    from tilepipe.pipelines.cli.registry import registry_display
    from tilepipe.pipelines.cli.registry.local_registry import open_registry, require

    if yes and not reason.strip():
        raise ParameterError(
            "--yes needs a reason for the history. Received: --yes without --reason. Add --reason TEXT."
        )
    config = PromoteConfig.parse(name=name, version=version, override=yes, reason=reason)
    require("mlflow", "onnxruntime")
    with open_registry(folder):
        from tilepipe.components.promote import promote as promoting

        entry = promoting.promote(config)
    if entry is None:
        console.print(Text(f"{config.address} is already the champion"))
    else:
        console.print(registry_display.promoted(entry))


def rollback(
    name: Name,
    reason: Annotated[str, typer.Option(help="Reason for the history.")] = "",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Make the champion before the present one champion again."""
    from tilepipe.pipelines.cli.registry import registry_display
    from tilepipe.pipelines.cli.registry.local_registry import open_registry, require

    require("mlflow", "onnxruntime")
    with open_registry(folder):
        from tilepipe.components.promote import promote as promoting

        entry = promoting.roll_back(name, reason)
    console.print(registry_display.promoted(entry))


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(models, name="models")
    for command in (promote, rollback):
        app.command()(command)
