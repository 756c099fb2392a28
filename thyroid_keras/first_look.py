"""What a network that looks at an image several times says at its first look."""

import keras
import numpy as np

from thyroid_keras import metrics
from thyroid_keras.evaluation import choose_thresholds, open_store
from thyroid_keras.layers import FeedbackGate
from thyroid_keras.prediction import predict


def judge_first_look(model, splits, *, batch_size=16, seed=0):
    """Judges the answer before any map was fed back, beside that of the whole network.

    It has a threshold of its own, chosen on the validation split. The network was trained for
    its last answer and the first counts for less, so that this is no network without feedback.

    Args:
        model: `keras.Model` that takes images in [0, 1].
        splits: `data.splits.Splits`.
        batch_size: int >= 1.
        seed: of the bootstrap.

    Returns:
        dict for `metrics.json`: `first_look`, the figures of `metrics.brief`; empty where the
        network looks once.

    Raises:
        DataError: with every file that cannot be read.

    Reference: Wang et al., FAN, Sec. 3.2; its "next epoch" is a pass here.
    """
    gate = next((layer for layer in model.layers if isinstance(layer, FeedbackGate)), None)
    if gate is None:
        return {}
    logits, _ = gate._inbound_nodes[0].input_tensors
    network = keras.Model(model.input, {"logits": logits})
    answers = {}
    for name in ("val", "test"):
        store = open_store(getattr(splits, name), network, name)
        options = {"batch_size": batch_size, "label": f"Looking at {name} images once"}
        batches = [batch.probabilities for batch in predict(network, store, **options)]
        answers[name] = np.concatenate(batches)
    threshold = choose_thresholds(splits.val, answers["val"], None)["label"]
    test = splits.test
    facts = test.groups, test.class_names, seed
    return {"first_look": metrics.brief(test.labels, answers["test"], threshold, *facts)}
