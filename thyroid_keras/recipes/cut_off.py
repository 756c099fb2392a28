"""Training of one map for all images and a classifier, until the cut-off epoch and after."""

import io

import keras
import numpy as np

from thyroid_keras.archs import build
from thyroid_keras.archs.global_attention import ATTENTION
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.pixel_maps import read_prior
from thyroid_keras.data.progress import track
from thyroid_keras.recipes.feeding import open_stores, train_batches, val_batches
from thyroid_keras.training import Phase, SettingError, copy_weights, fit_phase
from thyroid_keras.training.adam import Adam

ANSWER = "logits"
BEFORE, PRIOR = "map_before.npy", "map_prior.npy"  # files of a run
FAINT = 0.01  # of the brightness; a map below it everywhere is no choice of pixels
EVEN = 0.5  # of its highest value; nor is a map above it everywhere


def train_global_attention(recipe, splits, training):
    """Trains a classifier and one map for all images, then the classifier alone.

    The pixel CNN sees the training images as they are, once (of many, `max_reference_images`
    of them); the network returned holds its map, and neither them nor the pixel CNN. Without
    attention (`mode=none`) the classifier alone. The run keeps the map before any learning,
    and the prior where there is one, which is in both that map and the network's.

    Args:
        recipe: `recipes.global_attention.GlobalAttentionRecipe`.
        splits: `data.splits.Splits`.
        training: `training.Training`.

    Returns:
        `keras.Model` at the best epoch after the cut-off, from images in [0, 1] to a dict of
        `logits`.

    Raises:
        DataError: with every file that cannot be read.
        SettingError: if the backbone refuses its arguments.

    Reference: Xu et al., Algorithm 1.
    Deviation: `max_reference_images`; the paper's pixel CNN sees all. Adam begins anew after
        the cut-off. Of the epochs after it the one with the least validation loss is kept,
        where the paper takes 30 by cross-validation.
    """
    keras.utils.set_random_seed(training.seed)
    learns = recipe.mode == "pixel_cnn"
    classes = splits.train.class_names
    most = recipe.max_reference_images or len(splits.train)
    num_images = min(most, len(splits.train)) if learns else None
    learner = _build(recipe, classes, recipe.weights, num_images=num_images)
    stores = open_stores(recipe, splits, masks=False)
    model = keras.Model(learner.input, {ANSWER: learner.output}, name=ATTENTION)
    train = train_batches(recipe, stores["train"], _targets, (training.seed, 1))
    val = val_batches(recipe, stores["val"], _targets)
    if not learns:
        phase = _phase(recipe, recipe.mode, recipe.epochs, patience=recipe.patience)
        return fit_phase(model, phase, train, val, training)
    attention = learner.get_layer(ATTENTION)
    attention.attach(read_stack(learner, stores["train"]))
    if recipe.prior is not None:
        attention.prior.assign(read_prior(recipe.prior, recipe.size)[None, ..., None])
        _keep_map(training, PRIOR, attention.prior)
    attention.look()
    _keep_map(training, BEFORE, attention.map)
    rest = recipe.epochs - recipe.cutoff_epochs
    joint = {"leaves": "last"} if rest else {"patience": recipe.patience}
    fit_phase(model, _phase(recipe, "joint", recipe.cutoff_epochs, **joint), train, val, training)
    attention.settle()
    training.say(describe(keras.ops.convert_to_numpy(attention.map)))
    if rest:
        frozen = {"frozen": (ATTENTION,), "patience": recipe.patience}
        fit_phase(model, _phase(recipe, "frozen", rest, **frozen), train, val, training)
    # built with the same weights, on which strides and the first scaling depend, too
    network = copy_weights(learner, _build(recipe, classes, recipe.weights))
    network.get_layer(ATTENTION).map.assign(attention.map)
    return keras.Model(network.input, {ANSWER: network.output}, name=ATTENTION)


def describe(attention):
    """Returns sentences on a map, an array: its range, and its `fault` if it has one."""
    line = f"The map is fixed: {attention.min():.3g} to {attention.max():.3g}"
    return f"{line}, mean {attention.mean():.3g}. {fault(attention)}".rstrip()


def fault(attention):
    """Returns a sentence on why a map, an array, is no choice of pixels; `""` where it is one."""
    if attention.max() < FAINT:
        return "It blanks the images out; try a lower learning rate or penalty."
    if attention.min() > EVEN * attention.max():
        return "It is nearly even and has chosen no pixels; try more epochs before the cut-off."
    return ""


def read_stack(network, store):
    """Reads the images as the network's pixel CNN takes them.

    Args:
        network: `keras.Model` of `archs.global_attention`.
        store: `data.store.PixelStore`; of more images than the network's N so many are drawn,
            the same whenever there are as many.

    Returns:
        `(1, H, W, N C)`, in the precision in which the network computes.
    """
    attention = network.get_layer(ATTENTION)
    front = keras.Model(network.input, attention.input)
    height, width, channels = attention.input.shape[1:]
    count, most = len(store.table), attention.num_images
    drawn = np.sort(np.random.default_rng([count, most]).permutation(count)[:most])
    stack = np.empty((1, height, width, most * channels), attention.compute_dtype)
    for n, index in enumerate(track(drawn, "Stacking training images")):
        image = front(store.read([index])[0] * GREY_LEVEL)
        stack[..., n * channels : (n + 1) * channels] = keras.ops.convert_to_numpy(image)
    return stack


def _build(recipe, class_names, weights=None, **more):
    given = {} if weights is None else {"weights": weights}
    try:
        return build(
            ATTENTION,
            image_shape=(*recipe.size, recipe.channels),
            num_classes=len(class_names),
            **recipe.arguments(),
            **given,
            **more,
        )
    except (TypeError, ValueError) as error:
        raise SettingError(f"--set backbone, backbone_arguments, weights: {error}") from error


def _keep_map(training, name, values):
    content = io.BytesIO()
    np.save(content, keras.ops.convert_to_numpy(values)[0, ..., 0])
    training.keep(name, content.getvalue())


def _phase(recipe, name, epochs, **more):
    return Phase(
        name=name,
        title=f"global attention, {recipe.backbone}, {name}",
        epochs=epochs,
        optimizer=lambda steps: Adam(recipe.learning_rate, l2=recipe.l2),
        losses={ANSWER: keras.losses.CategoricalCrossentropy(from_logits=True)},
        metrics={ANSWER: ["categorical_accuracy"]},
        **more,
    )


def _targets(arrays):
    return arrays["image"], {ANSWER: arrays["label"]}
