"""Whether a LiteRT file answers as the network does that it was made of, and how fast."""

import keras
import numpy as np

from thyroid_keras.litert.interpreter import LiteRT
from thyroid_keras.litert.network import PROBABILITIES
from thyroid_keras.metrics import decide, proportion

TOLERANCES = {"float32": 1e-4, "float16": 1e-2}  # of any probability
LEAST_AGREEMENT = 0.95  # of images whose likeliest class is the network's, for int8
BATCH_SIZE = 16


def answers_of(network, images):
    """Class probabilities `(N, K)` of a network of `litert.network`."""
    starts = range(0, len(images), BATCH_SIZE)
    parts = [network.predict_on_batch(images[i : i + BATCH_SIZE]) for i in starts]
    return np.concatenate([keras.ops.convert_to_numpy(part[PROBABILITIES]) for part in parts])


def try_file(kind, content, images, expected, threshold):
    """Asks a file about images.

    Args:
        kind: of `litert.convert.KINDS`.
        content: its bytes.
        images: float32 `(N, H, W, C)` in [0, 1].
        expected: `(N, K)`, the network's probabilities.
        threshold: at which the last of two classes is named.

    Returns:
        dict: `bytes`; `latency_ms`, of one image on this machine; `max_difference` of any
        probability; the shares of images with the same likeliest class (`top1_agreement`, with
        `top1_agreement_ci95`, Wilson's, which says what so many images can tell) and
        the same class named (`named_agreement`); and `passes`, whether the kind's limit is
        kept: 1e-4, 1e-2, or for int8 a `top1_agreement` of 95 %.
    """
    file = LiteRT(content)
    found = file.predict(images)[PROBABILITIES]
    difference = float(np.abs(found - expected).max())
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    share = proportion(same.sum(), len(same))
    agreement = share["value"]
    named = decide(found, threshold) == decide(expected, threshold)
    keeps = difference <= TOLERANCES[kind] if kind in TOLERANCES else agreement >= LEAST_AGREEMENT
    return {
        "converts": True,
        "bytes": len(content),
        "latency_ms": file.latency_ms(),
        "max_difference": difference,
        "top1_agreement": agreement,
        "top1_agreement_ci95": share["ci95"],
        "named_agreement": float(np.mean(named)),
        "passes": bool(keeps),
    }
