"""Several networks that answer as one."""

import keras
from keras import layers, ops

from thyroid_keras.answers import label_of

MEMBER = "fold_{}"


def ensemble(models):
    """Joins networks for the same images into one that gives their mean.

    Args:
        models: K >= 2 `keras.Model`s of the same input and outputs; they are renamed
            `fold_0` and so on, and become layers of the result.

    Returns:
        `keras.Model` from images to a dict: `label`, the mean of the members' class
        probabilities; `label_sd`, their SD over the members (with K - 1); and `mask`, the
        mean of their masks, where they draw one.

    Raises:
        ValueError: if there are fewer than two members.
    """
    if len(models) < 2:
        raise ValueError(f"`models` must be at least two. Received: {len(models)} models")
    image = keras.Input(models[0].input_shape[1:], name="image")
    answers = []
    for i, model in enumerate(models):
        model.name = MEMBER.format(i)
        answers.append(model(image))
    labels = ops.stack([label_of(answer) for answer in answers])
    correction = (len(models) / (len(models) - 1)) ** 0.5
    outputs = {"label": ops.mean(labels, axis=0), "label_sd": ops.std(labels, axis=0) * correction}
    if isinstance(answers[0], dict) and "mask" in answers[0]:
        masks = [answer["mask"] for answer in answers]
        outputs["mask"] = layers.Average(name="mask", dtype="float32")(masks)
    return keras.Model(image, outputs, name="ensemble")
