"""The paper's new fully connected layer on features, and one network of both."""

import dataclasses

import keras
import numpy as np

from thyroid_keras import metrics
from thyroid_keras.answers import class_probabilities
from thyroid_keras.archs.imagenet import classify
from thyroid_keras.data.dealing import hold_out
from thyroid_keras.data.samples import DataError
from thyroid_keras.training import Phase, Training, copy_weights, fit_phase

HEAD = "new_fc"
EPOCHS, PATIENCE = 50, 10
LEARNING_RATE = 1e-4
BATCH_SIZE = 32
VAL_SHARE = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """A trained head.

    Args:
        network: `keras.Model` from features `(B, F)` to logits `(B, K)`.
        class_names: K strings.
        threshold: at or above which the last of two classes is named; `None` for more.
        threshold_origin: a sentence.
    """

    network: keras.Model
    class_names: tuple[str, ...]
    threshold: float | None
    threshold_origin: str

    def probabilities(self, features):
        """Returns float64 `(N, K)`, rows adding up to 1, of features `(N, F)`."""
        return class_probabilities(self.network(features, training=False))


def fit_head(features, labels, groups, class_names, *, seed=0):
    """Trains 256 units, ReLU, a dropout of a half and a softmax on features.

    A fifth of the groups, without their copies, says when to stop, and gives the threshold.

    Args:
        features: float32 `(V, N, F)`, views of N images.
        labels: `(N,)` ints in [0, K).
        groups: `(N,)`; a group is on one side.
        class_names: K strings.
        seed: int >= 0, of weights, batches and the fifth.

    Returns:
        `Head`.

    Raises:
        DataError: if a class has too few groups for both sides.

    Reference: Sai Sundar and Sai, Sec. 3.2, "a new FC layer".
    Deviation: the paper gives no width, rate or length: 256 units, RMSprop at 1e-4, at the most
        50 epochs, ended by 10 without a lower validation loss. A softmax of two where others
        write a sigmoid, so that there may be more classes.
    """
    num_classes, width = len(class_names), features.shape[-1]
    held = _validation_part(labels, groups, num_classes, seed)
    keras.utils.set_random_seed(seed)
    image = keras.Input((width,), name="features")
    network = keras.Model(image, classify(image, num_classes, HEAD), name=HEAD)
    truth = np.eye(num_classes, dtype=np.float32)[labels]
    learned = features[:, ~held].reshape(-1, width)
    copies = np.tile(truth[~held], (len(features), 1))
    train = _Batches(learned, copies, epochs=EPOCHS, seed=seed)
    phase = Phase(
        name=HEAD,
        title="new FC layer",
        epochs=EPOCHS,
        optimizer=lambda steps: keras.optimizers.RMSprop(LEARNING_RATE),
        losses=keras.losses.CategoricalCrossentropy(from_logits=True),
        patience=PATIENCE,
    )
    training = Training(checkpoints=None, feed=lambda batches, *_: (batches, batches.steps))
    fit_phase(network, phase, train, _Batches(features[0, held], truth[held]), training)
    head = Head(
        network=network,
        class_names=tuple(class_names),
        threshold=None,
        threshold_origin="the likeliest class wins",
    )
    if num_classes > 2:
        return head
    unseen = head.probabilities(features[0, held])[:, 1]
    threshold, origin = metrics.choose_threshold(labels[held] == 1, unseen)
    return dataclasses.replace(head, threshold=threshold, threshold_origin=origin)


def join(network, head):
    """Puts a head on the network whose features it has learned from.

    Args:
        network: result of `network.feature_network`.
        head: `Head`.

    Returns:
        `keras.Model` from images in [0, 1] to a dict of `logits`, float32 `(B, K)`.
    """
    logits = classify(network.output, len(head.class_names), HEAD)
    return copy_weights(head.network, keras.Model(network.input, {"logits": logits}))


def _validation_part(labels, groups, num_classes, seed):
    """Which images say when to stop; both sides hold every class."""
    held = hold_out(labels, groups, VAL_SHARE, seed)
    if any(len(np.unique(labels[part])) < num_classes for part in (held, ~held)):
        raise DataError(
            [
                "A class has too few groups: those that learn and the fifth that says when to stop "
                "must have one each; add data, or ask for more folds. "
                f"Received: {len(labels)} images of {len(np.unique(groups))} groups"
            ]
        )
    return held


class _Batches(keras.utils.PyDataset):
    """Features and one-hot labels, in another order each epoch; a single epoch as they are.

    All epochs are one long sequence, so that no order depends on what Keras reads ahead.
    """

    def __init__(self, features, truth, *, epochs=1, seed=0):
        super().__init__()
        self.features, self.truth, self.epochs = features, truth, epochs
        self.steps = -(-len(truth) // BATCH_SIZE)
        rng, count = np.random.default_rng(seed), len(truth)
        self.orders = [np.arange(count)]
        if epochs > 1:
            self.orders = [rng.permutation(count) for _ in range(epochs)]

    def __len__(self):
        return self.epochs * self.steps

    def __getitem__(self, index):
        epoch, step = divmod(index, self.steps)
        chosen = self.orders[epoch][step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        return self.features[chosen], self.truth[chosen]
