"""Rules for the parameters of a whole run that no single step knows: contradictions, and local paths."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.storage import storage

_ADDRESSES = (
    "data_source",
    "data_href_rewrite",
    "split_files",
    "model_uri",
    "model_weights_uri",
    "output_uri",
    "scene_uris",
    "train_checkpoint_uri",
    "export_bundle_uri",
)
"""Parameters that are addresses, or hold some."""
_OPTION_ADDRESSES = (("pack_options", "cache"),)
_INPUTS = ("data_source", "split_files", "model_uri", "model_weights_uri", "scene_uris")
"""Parameters that are addresses of existing data, or hold some."""
_NO_PATH = re.compile(r"(models|runs):/|imagenet$")

_NEED_EXPORT = ("export_bundle_uri", "export_name", "export_options", "register_name")


def contradictions(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each pair of arguments that exclude each other.

    Args:
        arguments: Parameter -> value, defaults included.
    """
    if arguments.get("export_enabled") is False:
        for name in _NEED_EXPORT:
            if arguments.get(name):
                yield _unused(name, arguments[name], "export_enabled")
    elif arguments.get("register_enabled") is False and arguments.get("register_name"):
        yield _unused("register_name", arguments["register_name"], "register_enabled")
    if arguments.get("split_merge_train_val") is True:
        options = arguments.get("train_options") or {}
        for name, needs in (
            ("early_stopping_patience_epochs", bool(options.get("early_stopping_patience_epochs"))),
            ("best_metric", "best_metric" in options),
            ("schedule", options.get("schedule") == "reduce_on_plateau"),
        ):
            if needs:
                given = _shown("train_options", {name: options[name]})
                yield (
                    "With `split_merge_train_val` there are no validation tiles, which this option of training needs. "
                    f"Received: split_merge_train_val=true {given}. Leave one of them out."
                )
    yield from _training_contradictions(arguments)


def _training_contradictions(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each argument that `train` would refuse, long after the tiles were read."""
    if "tune_space" in arguments:  # the arguments are those of no candidate: each may replace any of them
        return
    head_epochs = (arguments.get("train_options") or {}).get("head_epochs")
    architecture, freezing = arguments.get("model_architecture"), arguments.get("model_options") or {}
    is_frozen = freezing.get("trainable_backbone") == "none"
    if head_epochs and (architecture == "cnn" or is_frozen):
        reason = _shown("model_options", freezing) if is_frozen else f"model_architecture={architecture}"
        yield (
            "`head_epochs` freezes the backbone for the first epochs and needs a network with one that learns later. "
            f"Received: {_shown('train_options', {'head_epochs': head_epochs})} {reason}. Leave one of them out."
        )
    augmentation, size = arguments.get("train_augmentation"), (arguments.get("pack_options") or {}).get("tile_size")
    if not augmentation or not size:
        return
    from tilepipe.components.train.input.augmentation import that_fit  # not for pipelines without a training

    remaining = that_fit(augmentation, *size)
    if remaining != augmentation:
        yield (
            "`train_augmentation` must not contain quarter_turn if tiles are not square. Received: "
            f"{_shown('train_augmentation', augmentation)} {_shown('pack_options', {'tile_size': size})}. "
            f"Use {_shown('train_augmentation', remaining)}."
        )


def check_reachable(arguments: Mapping[str, Any]) -> None:
    """Check that no address is a path of this machine, which pods cannot read.

    Args:
        arguments: The given arguments, without defaults.

    Raises:
        ParameterError: An address is a local path.
    """
    problems = [
        f"`{name}` must be an address that pods can reach. Received: {name}={value}, a path of this machine. Upload it "
        "with `tilepipe push` and give its s3:// address; if a volume is mounted there in the pods, use --no-checks."
        for name, value in _local_paths(arguments)
    ]
    if problems:
        raise ParameterError("\n".join(problems))


def check_exists(arguments: Mapping[str, Any]) -> None:
    """Check that the files and folders of this machine that a run reads exist.

    Args:
        arguments: The given arguments, without defaults.

    Raises:
        ParameterError: One does not exist.
    """
    problems = []
    for name, value in _local_paths({name: arguments[name] for name in _INPUTS if name in arguments}):
        path = storage.normalize(value)
        if not Path(path).exists():
            problems.append(f"`{name}` must exist. Received: {name}={value}, which is {path}. Check the path.")
    if problems:
        raise ParameterError("\n".join(problems))


def _local_paths(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _addresses(arguments):
        if value and not _NO_PATH.match(value) and storage.scheme(value) in {"", "file"}:
            yield name, value


def _addresses(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    values = [(name, arguments.get(name)) for name in _ADDRESSES]
    values += [(f"{name}.{option}", (arguments.get(name) or {}).get(option)) for name, option in _OPTION_ADDRESSES]
    for name, value in values:
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", str(one)) for key, one in value.items())
        elif isinstance(value, list):
            yield from ((name, str(one)) for one in value)
        elif value:
            yield name, str(value)


def _unused(name: str, value: object, switch: str) -> str:
    return (
        f"`{name}` has no effect with {switch}=false. Received: {_shown(name, value)} {switch}=false. "
        "Leave one of them out."
    )


def _shown(name: str, value: object) -> str:
    return f"{name}={value}" if isinstance(value, str) else f"{name}='{json.dumps(value)}'"
