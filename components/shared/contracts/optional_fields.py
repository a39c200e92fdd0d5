"""Models whose optional fields are written only when they are set, so that files without them keep their bytes."""

from typing import Any, ClassVar

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class SparseModel(BaseModel):
    """A model that omits the fields named in `omitted_if_default` when they have their defaults."""

    omitted_if_default: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unset = {name for name in self.omitted_if_default if getattr(self, name) == fields[name].default}
        return {name: value for name, value in write(self).items() if name not in unset}
