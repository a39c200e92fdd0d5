"""Choice of the tiles that the report shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tilepipe.components.evaluate.figures.arrays import Counts
from tilepipe.components.evaluate.predict import SplitPredictions

CONFUSED_TILES = 3
"""Number of tiles shown for each of the most frequent mistakes."""
CLASSES_WITH_TILES = 60
"""Largest number of classes of which typical tiles are shown, the weakest ones."""


class ShownTile(NamedTuple):
    """A tile and its prediction."""

    tile_id: str
    label: str
    predicted: str
    probability: float
    """Predicted probability of the predicted class."""
    place: int
    """Place in the predictions of the split."""
    uri: str = ""
    """Address of the tile; empty if unknown."""


@dataclass(frozen=True)
class ShownTiles:
    """The tiles of a split that the report shows, and their pictures."""

    mistakes: tuple[ShownTile, ...]
    """Wrong predictions, the most confident first."""
    confused: tuple[tuple[ShownTile, ...], ...] = ()
    """Tiles of each of the most frequent mistakes, in their order."""
    typical: Mapping[int, tuple[ShownTile, ...]] = field(default_factory=dict)
    """Tiles of a class that were recognized most confidently, by class, the weakest class first."""
    pictures: Mapping[int, bytes] = field(default_factory=dict)
    """JPEG data by `ShownTile.place`; a tile may lack a picture."""
    bands: str = ""
    """Sentence on the bands in which tiles are shown."""

    def __iter__(self) -> Iterator[ShownTile]:
        """Iterate over all tiles, the most important first; a tile may occur several times."""
        yield from self.mistakes
        for group in (*self.confused, *self.typical.values()):
            yield from group


@dataclass(frozen=True, eq=False)
class Chooser:
    """Choice among the tiles of a split."""

    predictions: SplitPredictions
    class_names: Sequence[str]
    uris: Sequence[str] = ()
    """Addresses in the order of the predictions, or none."""

    def mistakes(self, limit: int) -> tuple[ShownTile, ...]:
        """Find the wrong predictions with the highest probability; often, their labels are wrong.

        There are at most `limit`, by descending probability, then by tile id.
        """
        return self._surest(np.flatnonzero(self.predictions.predicted != self.predictions.labels), limit)

    def predicted_as(self, label: int, predicted: int, limit: int) -> tuple[ShownTile, ...]:
        """Find the tiles of one class that were most confidently predicted as another, or as the class itself.

        There are at most `limit`, by descending probability, then by tile id.
        """
        own = self.predictions
        return self._surest(np.flatnonzero((own.labels == label) & (own.predicted == predicted)), limit)

    def _surest(self, among: Counts, limit: int) -> tuple[ShownTile, ...]:
        own = self.predictions
        predicted, probability = own.predicted[among], own.probability[among]
        order = np.argsort(-probability, kind="stable")[:limit]
        return tuple(
            ShownTile(
                own.tile_ids[among[i]],
                self.class_names[own.labels[among[i]]],
                self.class_names[predicted[i]],
                float(probability[i]),
                int(among[i]),
                self.uris[among[i]] if self.uris else "",
            )
            for i in order
        )
