"""FAN (Wang et al., "A Feedback Attention Network for Classification and Visualization of
Thyroid Nodules on Ultrasound Images"): LAP classifier, and its map fed back."""

import keras
from keras import initializers, layers

from thyroid_keras.archs.blocks import MOMENTUM
from thyroid_keras.layers.batch_norm import BatchNorm
from thyroid_keras.layers.feedback import FeedbackGate
from thyroid_keras.layers.lap import LAPClassifier
from thyroid_keras.layers.map_memory import MapMemory

WIDTHS = (24, 32, 48, 96, 128, 64)
CONVS = (2, 2, 3, 3, 3, 1)
FEEDBACKS = ("recurrent", "epoch", "none")
GATES_AT = ("stage", "lfm")
FLOAT32 = {"dtype": "float32"}


def fan(
    image_shape=(224, 224, 1),
    num_classes=2,
    *,
    eta=56,
    kappa=2,
    feedback="recurrent",
    passes=2,
    gate_at="stage",
    evidence="margin",
    scale="unit",
    target="predicted",
    form="2sigmoid",
    dilate=False,
    all_passes=False,
    num_images=None,
):
    """Builds FAN: features of eta x eta, pooled into kappa x kappa cells, looked at twice.

    Args:
        image_shape: `(H, W, channels)`, square.
        num_classes: int >= 1, the width of the logits.
        eta: side of the last feature map, the image's side halved one to five times.
        kappa: int from 1 (global average pooling) to eta, cells along a side.
        feedback: `"recurrent"`: the map of one pass gates the features of the next;
            `"epoch"`: the same for images never seen before, but each training image is
            gated by the map that is kept of it, see `num_images`; `"none"`.
        passes: int >= 1, of which 1 is the same as `"none"`; with `"epoch"` >= 2.
        gate_at: what is gated: the input of the last `"stage"`, or its output, the
            `"lfm"` (last feature map) itself.
        evidence, scale, target, form: of the gate, see `layers.FeedbackGate`.
        dilate: bool, whether convolutions are dilated twice for each pooling left out
            before them, which keeps their receptive field.
        all_passes: bool, whether the logits of the earlier passes are put out too; with
            `num_images` they always are.
        num_images: int >= 1, with `"epoch"` alone: builds the network that learns, whose
            layer `memory` keeps a map of each of so many training images, see
            `layers.MapMemory`. Its other layers are those of the network without.

    Returns:
        `keras.Model` from images in [0, 1] to float32 logits `(B, num_classes)`; with
        `all_passes` to a dict: `logits`, and `logits_pass1` and so on for the passes
        before. The layer `classifier` puts out `(logits, evidence)` of each pass. With
        `num_images` from a dict of `image`, `index` and `matrix` to these logits and the
        last pass's `evidence` `(B, eta, eta, num_classes)`.

    Raises:
        ValueError: if a size or a name is out of range.

    Reference: Wang et al., FAN, Sec. 3.
    Deviation: the paper draws its network in a figure without numbers. Decided here: a thin
        VGG-16 layout of 0.77 million parameters, as its tables print, for every eta and
        kappa; poolings before the first stages, as many as eta asks for; the last stage of
        64 filters is the one that is gated, once more per pass. Its maps are fed back "at
        the next epoch", which an image never seen before has not: passes stand in for
        epochs there, and by default everywhere, so that it is learned as it is asked. Maps
        are constants in the backward pass, and only the last pass counts in the statistics
        of the normalisation.
    """
    _check(image_shape, eta, feedback, passes, gate_at, num_images)
    num_pools = (image_shape[0] // eta).bit_length() - 1
    x = image = keras.Input(image_shape, name="image")
    for s in range(len(WIDTHS) - 1):
        x = _enter(x, s, num_pools)
        for c in range(1, CONVS[s] + 1):
            x = _unit(x, s, c, num_pools, dilate)
    last = len(WIDTHS) - 1
    features = _enter(x, last, num_pools)
    stage = _last_stage(last, num_pools, dilate)
    classifier = LAPClassifier(num_classes, kappa, name="classifier")
    gate = FeedbackGate(evidence, scale, target, form, name="gate")
    passes = 1 if feedback == "none" else passes
    inputs, recall = _memory(image, num_images, form) if num_images else (image, None)
    # in the first pass, which has no map yet, the gate has its neutral value
    halve = layers.Rescaling(0.5, name="neutral") if passes > 1 and form == "sigmoid" else None
    if gate_at == "stage":
        lfm = stage(halve(features) if halve else features, update=passes == 1)
        said = [classifier(lfm)]
    else:
        lfm = stage(features, update=True)
        said = [classifier(halve(lfm) if halve else lfm)]
    for number in range(2, passes + 1):
        attention = gate(*said[-1])
        if recall and number == passes:
            attention = recall(attention)
        gated = layers.Multiply(name=f"gated{number}")
        if gate_at == "stage":
            lfm = stage(gated([features, attention]), update=number == passes)
            said.append(classifier(lfm))
        else:
            said.append(classifier(gated([lfm, attention])))
    names = [f"logits_pass{p}" for p in range(1, len(said))] + ["logits"]
    outputs = {
        name: layers.Identity(name=name, **FLOAT32)(answer)
        for name, (answer, _) in zip(names, said, strict=True)
    }
    if num_images:
        outputs["evidence"] = said[-1][1]
    elif not all_passes:
        outputs = outputs["logits"]
    return keras.Model(inputs, outputs, name="fan")


def _memory(image, num_images, form):
    """The inputs of a network with a memory, and the function from a map to the kept one."""
    index = keras.Input((), dtype="int32", name="index")
    matrix = keras.Input((2, 3), name="matrix")
    memory = MapMemory(num_images, neutral=1.0 if form == "2sigmoid" else 0.5, name="memory")
    inputs = {"image": image, "index": index, "matrix": matrix}
    return inputs, lambda attention: memory(attention, index, matrix)


def _check(image_shape, eta, feedback, passes, gate_at, num_images):
    height, width = image_shape[:2]
    sides = [height // 2**n for n in range(1, 6) if height % 2**n == 0]
    if height != width or eta not in sides:
        raise ValueError(
            "`image_shape` must be square and `eta` its side halved one to five times. "
            f"Received: image_shape={image_shape}, eta={eta}"
        )
    if feedback not in FEEDBACKS:
        raise ValueError(f"`feedback` must be one of {FEEDBACKS}. Received: feedback={feedback!r}")
    least = 2 if feedback == "epoch" else 1
    if passes < least:
        raise ValueError(
            f"`passes` must be at least {least} with feedback {feedback!r}. "
            f"Received: passes={passes}"
        )
    if num_images is not None and (feedback != "epoch" or num_images < 1):
        raise ValueError(
            '`num_images` must be at least 1 and goes with feedback "epoch" alone. '
            f"Received: num_images={num_images}, feedback={feedback!r}"
        )
    if gate_at not in GATES_AT:
        raise ValueError(f"`gate_at` must be one of {GATES_AT}. Received: gate_at={gate_at!r}")


def _enter(x, stage, num_pools):
    """The first stages are entered through a pooling."""
    pooled = 1 <= stage <= num_pools
    return layers.MaxPooling2D(2, name=f"pool{stage}")(x) if pooled else x


def _conv(stage, conv, num_pools, dilate):
    return layers.Conv2D(
        WIDTHS[stage],
        3,
        padding="same",
        use_bias=False,
        dilation_rate=2 ** max(0, stage - num_pools) if dilate else 1,
        kernel_initializer=initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
        name=f"stage{stage + 1}_conv{conv}",
    )


def _norm(stage, conv):
    return BatchNorm(momentum=MOMENTUM, epsilon=1e-5, name=f"stage{stage + 1}_conv{conv}_bn")


def _unit(x, stage, conv, num_pools, dilate):
    x = _norm(stage, conv)(_conv(stage, conv, num_pools, dilate)(x))
    return layers.ReLU(name=f"stage{stage + 1}_conv{conv}_relu")(x)


def _last_stage(stage, num_pools, dilate):
    """One convolution, shared by all passes, as a function.

    Only the last pass, which is the answer, adds to the moving statistics.
    """
    conv, norm = _conv(stage, 1, num_pools, dilate), _norm(stage, 1)
    relu = layers.ReLU(name=f"stage{stage + 1}_conv1_relu")
    return lambda x, update: relu(norm(conv(x), update=update))
