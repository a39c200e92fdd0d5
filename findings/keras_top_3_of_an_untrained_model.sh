#!/usr/bin/env bash
# An untrained Keras model that sees raw digital numbers has a top-3 accuracy of 100 % among ten classes.
#
# Expected: a classifier that guesses has its true class among the first three for 30 % of the tiles.
# Observed (Keras 3.15.1, TensorFlow 2.21.0, scikit-learn 1.9.1): digital numbers up to 10,000 give logits in the
# thousands, and softmax underflows: one probability is 1, the others are exactly 0. Keras counts all classes that tie with
# the third as among the first three, so (Sparse)TopKCategoricalAccuracy of 500 tiles is 1.0 where `accuracy` is 0.09, in
# `evaluate` and while it is trained with random labels. From the same probabilities, top_k_accuracy_score of scikit-learn
# finds 0.28; from the logits, both find 0.31. Equal probabilities of all classes have a top-3 accuracy of 1.0 as well.
# Why it matters: inputs that were not normalized are a usual mistake. The loss looks bad and a perfect metric beside it
# good; EarlyStopping and ModelCheckpoint that watch it keep the first epoch. The more certain a model is of wrong
# answers, the higher is the metric: any tile with two or more zeros beyond the first counts as a hit.
# Source: Keras' documentation of accuracy metrics (nothing on ties); that of tf.math.in_top_k.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 keras==3.15.1 scikit-learn==1.9.1 \
  || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import sklearn
import tensorflow as tf
from sklearn.metrics import top_k_accuracy_score

rng = np.random.default_rng(0)
tiles = rng.integers(0, 10_000, (500, 16, 16, 4)).astype("float32")
labels = rng.integers(0, 10, 500)


def by_keras(scores):
    return float(np.mean(keras.metrics.sparse_top_k_categorical_accuracy(labels, scores, 3)))


def by_sklearn(scores):
    return float(top_k_accuracy_score(labels, scores, k=3, labels=range(10)))


keras.utils.set_random_seed(0)
inputs = keras.Input((16, 16, 4))
values = keras.layers.Flatten()(keras.layers.Conv2D(16, 3)(inputs))
logits = keras.layers.Dense(10)(values)
model = keras.Model(inputs, keras.layers.Softmax()(logits))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)])
_, accuracy, evaluated = model.evaluate(tiles, labels, verbose=0)
probabilities = model.predict(tiles, verbose=0)
scores = keras.Model(inputs, logits).predict(tiles, verbose=0)
equal = np.full((500, 10), 0.1, "float32")
found = {
    "evaluate": evaluated,
    "probabilities, Keras": by_keras(probabilities),
    "probabilities, scikit-learn": by_sklearn(probabilities),
    "logits, Keras": by_keras(scores),
    "logits, scikit-learn": by_sklearn(scores),
    "equal probabilities, Keras": by_keras(equal),
    "equal probabilities, scikit-learn": by_sklearn(equal),
}
history = model.fit(tiles[:250], labels[:250], validation_data=(tiles[250:], labels[250:]), epochs=2, verbose=0).history
in_training = [top for name, values in history.items() if "top_k" in name for top in values]
print("keras", keras.__version__, "tensorflow", tf.__version__, "scikit-learn", sklearn.__version__)
print(f"accuracy {accuracy:.2f}, zeros among ten probabilities {(probabilities == 0).sum(axis=1).mean():.1f}; top-3 accuracy:")
for way, share in found.items():
    print(f"  {way}: {share:.3f}")
print("  in two epochs of training, training and validation:", *(f"{top:.3f}" for top in in_training))
certain = [found[way] for way in ("evaluate", "probabilities, Keras", "equal probabilities, Keras")]
guesses = [share for way, share in found.items() if "scikit-learn" in way or "logits" in way]
as_recorded = (
    accuracy < 0.15
    and min(certain) == 1.0
    and min(in_training) > 0.9
    and all(0.2 < share < 0.4 for share in guesses)
)
sys.exit(0 if as_recorded else 1)
PYTHON
