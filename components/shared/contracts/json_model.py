"""Models of the JSON files that steps pass on."""

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import write_whole

_Model = TypeVar("_Model", bound=BaseModel)


class FrozenModel(BaseModel):
    """A model that is immutable and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonModel(FrozenModel):
    """A model that is stored as a JSON file."""

    indent: ClassVar[int] = 2

    def write(self, path: Path) -> None:
        """Write indented JSON, completely or not at all."""
        write_whole(path, self.model_dump_json(indent=self.indent) + "\n")


class SparseModel(JsonModel):
    """A model that omits the fields named in `omitted_if_default` when they have their defaults.

    Files without these fields keep their bytes.
    """

    omitted_if_default: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        defaults = {name: fields[name].get_default(call_default_factory=True) for name in self.omitted_if_default}
        unset = {name for name, default in defaults.items() if getattr(self, name) == default}
        return {name: value for name, value in write(self).items() if name not in unset}


def read_json(kind: type[_Model], path: Path, name: str, step: str) -> _Model:
    """Read and validate a file that `JsonModel.write` wrote.

    Args:
        kind: the model.
        path: path of the file.
        name: name of the model in the error, such as `A manifest`.
        step: the step that writes the file.

    Raises:
        ArtifactError: the file is missing, damaged or of another schema version.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        version = kind.model_fields["schema_version"].default
        raise ArtifactError(
            f"{name} must be JSON of schema version {version}. Received: {path}, which reads as: {error}. Run `{step}` "
            "again with this version of tilepipe."
        ) from error
