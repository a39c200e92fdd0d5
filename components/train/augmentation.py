"""Changes to training tiles that leave their class as it is: flips and quarter turns, exact on the pixel lattice.

A tile seen from above has no up: each of the eight ways to lay it down is as good as the others. Nothing is
interpolated, so that digital numbers stay what they were, in any dtype.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.manifest import Manifest
from tilepipe.components.train.config import Augmentation

if TYPE_CHECKING:
    import tensorflow as tf

_HEIGHT, _WIDTH = 1, 2  # axes of a batch


def check_augmentation(names: Sequence[Augmentation], manifest: Manifest) -> None:
    """Refuse what does not fit the tiles.

    Raises:
        ParameterError: quarter turns of tiles that are not square, which would change their shape.
    """
    if "quarter_turn" in names and manifest.height != manifest.width:
        raise ParameterError(
            "`augmentation` must not hold quarter_turn where tiles are not square. "
            f"Received: augmentation={list(names)} for tiles of {manifest.height} x {manifest.width} pixels. "
            "Use augmentation=['flip']."
        )


def augment(images: "tf.Tensor", seed: "tf.Tensor", names: Sequence[Augmentation]) -> "tf.Tensor":
    """Change each tile of a batch by chance, each by its own.

    Args:
        images: tiles, any dtype, `(batch, height, width, bands)`.
        seed: int64, `(2,)`; the same seed makes the same changes.
        names: which kinds of change.

    Returns:
        The changed tiles, dtype and shape of `images`.
    """
    import tensorflow as tf

    chances: dict[Augmentation, Sequence[Callable[[tf.Tensor], tf.Tensor]]] = {
        "flip": (lambda x: tf.reverse(x, [_HEIGHT]), lambda x: tf.reverse(x, [_WIDTH])),
        # Half a turn or not, then a quarter turn or not: all four, each as likely as the others.
        "quarter_turn": (
            lambda x: tf.reverse(x, [_HEIGHT, _WIDTH]),
            lambda x: tf.reverse(tf.transpose(x, (0, _WIDTH, _HEIGHT, 3)), [_HEIGHT]),
        ),
    }
    changes = [change for name in chances if name in names for change in chances[name]]
    if not changes:
        return images
    # One throw for each tile and change, whether the others came or not.
    heads = tf.random.stateless_uniform((len(changes), tf.shape(images)[0]), seed) < 0.5
    for change, head in zip(changes, tf.unstack(heads), strict=True):
        images = tf.where(head[:, None, None, None], change(images), images)
    return images
