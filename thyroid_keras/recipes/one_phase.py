"""Training of a classifier of one output, all at once."""

import keras

from thyroid_keras.archs import build
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.recipes.rates import schedule, sgd
from thyroid_keras.training import Phase, fit_phase
from thyroid_keras.training.adam import Adam

JOINT = "logits"


def train_classifier(recipe, splits, training):
    """Trains a classifier in one phase.

    Args:
        recipe: `ClassifierRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model` at its best epoch, from images in [0, 1] to a dict of `logits`.

    Raises:
        DataError: with every file that cannot be read.
        ModelError: if the weights to start from are not there, or of another network.
        SettingError: if a layer that is to be fine-tuned is not there.
    """
    stores = open_stores(recipe, splits, masks=False)
    keras.utils.set_random_seed(training.seed)
    num_classes = len(splits.train.class_names)
    sigmoid = recipe.sigmoid and num_classes == 2
    network = build(
        recipe.arch,
        image_shape=(*recipe.size, recipe.channels),
        num_classes=1 if sigmoid else num_classes,
        **recipe.arguments(),
    )
    # the softmax of 0 and z is the sigmoid of z
    logits = keras.ops.pad(network.output, ((0, 0), (1, 0))) if sigmoid else network.output
    model = keras.Model(network.input, {JOINT: logits}, name=network.name)
    phase = Phase(
        name=recipe.arch,
        title=recipe.arch,
        epochs=recipe.epochs,
        optimizer=_optimizer(recipe),
        losses={JOINT: keras.losses.CategoricalCrossentropy(from_logits=True)},
        frozen=recipe.frozen(network),
        patience=recipe.patience,
    )
    train = train_batches(recipe, stores["train"], _targets, (training.seed, 1))
    return fit_phase(model, phase, train, val_batches(recipe, stores["val"], _targets), training)


def _targets(arrays):
    return arrays["image"], {JOINT: arrays["label"]}


def _optimizer(recipe):
    if recipe.optimizer == "sgd":
        return sgd(recipe, recipe.epochs)

    def optimizer(steps):
        rate = schedule(recipe, steps // recipe.epochs, recipe.epochs)
        if recipe.optimizer == "rmsprop":
            return keras.optimizers.RMSprop(rate)
        return Adam(rate, weight_decay=recipe.weight_decay or None)

    return optimizer
