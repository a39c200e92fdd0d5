"""Apply a champion to the tiles of a challenger, whose bands and classes may be in another order."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tilepipe.components.gate.judgement.paired_comparison import Labels
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.inference.bundle_model import BundleModel, Tiles


@dataclass(frozen=True)
class Translation:
    """A champion that takes the tiles and gives the classes of a challenger."""

    champion: BundleModel
    bands: NDArray[np.int64]
    """Position of each of the champion's bands among those of the challenger."""
    classes: Labels
    """Position of each of the champion's classes among those of the challenger."""
    has_same_bands: bool
    """Whether both see the same pixels, so that their checksums are comparable."""

    @classmethod
    def between(cls, champion: BundleModel, challenger: BundleModel) -> Self:
        """Match bands and classes by name.

        Args:
            champion: the model that is in use; its bands may be some of the challenger's.
            challenger: the model whose tiles are used.

        Raises:
            ArtifactError: the classes differ, or the champion cannot read the tiles; the message says which.
        """
        ours, theirs = challenger.class_names, champion.class_names
        if set(ours) != set(theirs):
            added, gone = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
            stated = [f"only the challenger has {', '.join(added)}"] if added else []
            stated += [f"only the champion has {', '.join(gone)}"] if gone else []
            raise ArtifactError(f"They have different classes: {'; '.join(stated)}. Their figures cannot be compared.")
        missing = [band for band in champion.bands if band not in challenger.bands]
        if missing:
            raise ArtifactError(
                f"The champion needs the bands {', '.join(missing)}, which the challenger's test tiles lack: they have "
                f"{', '.join(challenger.bands)}. It cannot be judged on them."
            )
        one, other = ((m.height, m.width, m.dtype) for m in (champion, challenger))
        if one != other:
            raise ArtifactError(
                f"The champion takes tiles of (height, width, dtype) = {one}, but the challenger's test tiles are of "
                f"{other}. It cannot be judged on them."
            )
        return cls(
            champion=champion,
            bands=np.array([challenger.bands.index(band) for band in champion.bands]),
            classes=np.array([ours.index(name) for name in theirs]),
            has_same_bands=champion.bands == challenger.bands,
        )

    def predict(self, tiles: Tiles) -> Labels:
        """Predict the classes of tiles of the challenger, `(tiles,)`, by the challenger's numbers."""
        probabilities = self.champion.predict(tiles if self.has_same_bands else tiles[..., self.bands])
        found: Labels = self.classes[probabilities.argmax(axis=1)]
        return found
