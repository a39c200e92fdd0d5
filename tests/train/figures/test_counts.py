import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tilepipe.components.train.figures.counts import BINS, ClassCounts, ScoreCounts


def split(tiles=1000, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, tiles, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    logits = rng.normal(size=(tiles, classes)) + 1.5 * np.eye(classes)[true]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return true, np.eye(classes, dtype=np.float32)[true], scores.astype(np.float32)


def in_batches(metric, labels, scores, size=64):
    for start in range(0, len(labels), size):
        metric.update_state(labels[start : start + size], scores[start : start + size])


def test_classes_are_counted_over_all_batches():
    from sklearn.metrics import confusion_matrix

    true, labels, scores = split()
    metric = ClassCounts(5)
    in_batches(metric, labels, scores)
    assert np.array_equal(np.asarray(metric.counts), confusion_matrix(true, scores.argmax(axis=1)))
    metric.reset_state()
    assert not np.asarray(metric.counts).any()


def test_mixed_labels_count_as_their_larger_part():
    metric = ClassCounts(3)
    metric.update_state([[0.7, 0.3, 0], [0, 0.4, 0.6]], [[0.9, 0.1, 0], [0, 0.9, 0.1]])
    assert np.asarray(metric.counts).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_scores_are_counted_in_their_bins():
    true, labels, scores = split()
    metric = ScoreCounts(5)
    in_batches(metric, labels, scores)
    expected = np.zeros((5, BINS, 2), np.int64)
    for tile, row in zip(true, scores, strict=True):
        for number, score in enumerate(row):
            expected[number, min(int(score * BINS), BINS - 1), int(number == tile)] += 1
    assert np.array_equal(np.asarray(metric.counts), expected)


def test_scores_at_the_ends_and_on_thresholds_and_beyond():
    metric = ScoreCounts(2)
    metric.update_state(np.eye(2, dtype="float32"), [[0.0, 1.0], [3 / BINS, 1.1]])
    assert [tuple(place) for place in np.argwhere(np.asarray(metric.counts))] == [
        (0, 0, 1),
        (0, 3, 0),
        (1, BINS - 1, 0),
        (1, BINS - 1, 1),
    ]


def test_counts_stay_exact_where_float32_would_not():
    metric = ClassCounts(2)
    metric.counts.assign([[2**24, 0], [0, 0]])
    metric.update_state([[1.0, 0.0]], [[1.0, 0.0]])
    assert int(metric.counts[0, 0]) == 2**24 + 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_they_count_in_a_compiled_function_with_mixed_precision(jit_compile):
    _, labels, scores = split(64)
    plain, compiled = ClassCounts(5), ClassCounts(5)
    plain_scores, compiled_scores = ScoreCounts(5), ScoreCounts(5)

    @tf.function(jit_compile=jit_compile)
    def count(labels, scores):
        compiled.update_state(labels, scores)
        compiled_scores.update_state(labels, scores)

    half = tf.cast(scores, "float16")
    count(labels, half)
    plain.update_state(labels, half)
    plain_scores.update_state(labels, half)
    assert np.array_equal(np.asarray(plain.counts), np.asarray(compiled.counts))
    assert np.array_equal(np.asarray(plain_scores.counts), np.asarray(compiled_scores.counts))


_MIRRORED = """
import numpy as np
import tensorflow as tf

from tilepipe.components.train.figures.counts import ClassCounts, ScoreCounts

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    counts, scores = ClassCounts(2), ScoreCounts(2)


@tf.function
def count():
    def step():
        # The second device sees one tile of the other class.
        one = tf.distribute.get_replica_context().replica_id_in_sync_group
        labels = tf.one_hot([0, one], 2)
        counts.update_state(labels, labels)
        scores.update_state(labels, labels)

    strategy.run(step)


count()
print(np.asarray(counts.counts).tolist(), int(np.asarray(scores.counts).sum()))
"""


def test_a_mirrored_strategy_sums_the_counts():
    # In a process of its own: TensorFlow takes no second CPU device once it has touched the first.
    done = subprocess.run([sys.executable, "-c", _MIRRORED], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[[3, 0], [0, 1]] 8", done.stderr[-2000:]
