"""From a run to files that a phone runs, and a page that a browser runs."""

from pathlib import Path

import keras

from thyroid_keras.answers import num_classes
from thyroid_keras.explain import constant_maps
from thyroid_keras.litert.card import describe, file_name, page_card, sentence, write_readme
from thyroid_keras.litert.network import device_network
from thyroid_keras.litert.pictures import read_pictures
from thyroid_keras.loading import load
from thyroid_keras.runs import (
    Run,
    RunError,
    classes_of,
    threshold_of,
    write_bytes,
    write_json,
    write_text,
)
from thyroid_keras.serving.card import model_card
from thyroid_keras.serving.exportable import check_exportable, model_name
from thyroid_keras.serving.versions import check_target, publish

CARD, PAGE, README = "model_card.json", "page.html", "README.rst"


def export(folder, *, to=None, calibration=None, say=print):
    """Exports the model of a run as LiteRT files and a page, in the next version's folder.

    `model_float32.tflite`, `model_float16.tflite` and `model_int8.tflite` take `image`
    `(1, H, W, C)`, float32 in [0, 1], and answer `probabilities` `(1, K)`, and the network's
    mask and maps, see `litert.network`. `page.html` runs the first on pictures dropped onto
    it, whose answers are those of `predict`. `model_card.json` says what they are, how large,
    how fast here, and how they agree with the model.

    Args:
        folder: of the run.
        to: folder of the versions; `None`: `saved_models/<arch>_litert`.
        calibration: picture or folder of pictures that tell the range of the 8-bit
            activations; `None`: up to 128 of the run's training split.
        say: function of one line of text.

    Returns:
        `pathlib.Path` of the version, `<to>/<whole number>`.

    Raises:
        RunError: if the run is not finished or cannot be exported (see `serving.exportable`),
            LiteRT has no form of its network, or `to` cannot be written to.
        DataError: with every fault of the pictures.
        ModelError: if the run's model is missing or damaged.
    """
    run = Run.open(folder, "metrics", "model")
    config, metrics = run.read_config(), run.read_metrics()
    _check_backend()
    check_exportable(run, config, can_remove_borders=False)
    to = Path(to or Path("saved_models") / f"{model_name(config)}_litert")
    check_target(to)
    model = load(folder)
    threshold = threshold_of(run, len(classes_of(run, num_classes(model))))
    network = device_network(model)
    pictures = read_pictures(run, model, calibration)
    say(f"Exporting {config['arch']} of {run.folder} …")
    # only now: TensorFlow is not installed where Keras runs on JAX alone
    from thyroid_keras.litert.page import write_page

    contents, trials = _convert(run, network, pictures, threshold)
    card = describe(model_card(config, metrics, model), network, pictures, trials)
    page = write_page(page_card(card, constant_maps(model)), contents["float32"])

    def write(path):
        for kind, content in contents.items():
            write_bytes(path / file_name(kind), content)
        write_json(path / CARD, card)
        write_text(path / README, write_readme(card))
        write_text(path / PAGE, page)

    version = publish(to, write)
    for kind, trial in trials.items():
        say(f"{kind}: {sentence(trial)}")
    say(f"Exported: {version}")
    say(f"Open it in any browser, offline, and drop a picture on it: {version / PAGE}")
    return version


def _check_backend():
    if keras.backend.backend() != "tensorflow":
        raise RunError(
            "LiteRT files are written by TensorFlow, whatever the run was trained with: put "
            "KERAS_BACKEND=tensorflow before the command. "
            f"Received: backend={keras.backend.backend()!r}"
        )


def _convert(run, network, pictures, threshold):
    """The bytes of each kind that converts, and of all kinds what a trial of it found."""
    from thyroid_keras.litert.convert import KINDS, ConversionError, converters
    from thyroid_keras.litert.trial import answers_of, try_file

    expected, contents, trials = answers_of(network, pictures.trial), {}, {}
    with converters(network) as convert:
        for kind in KINDS:
            try:
                contents[kind] = convert(kind, pictures.calibration)
                trials[kind] = try_file(kind, contents[kind], pictures.trial, expected, threshold)
            except ConversionError as error:
                trials[kind] = {"converts": False, "reason": str(error)}
    if "float32" not in contents:
        raise RunError(
            f"{run.folder}: LiteRT has no form of this network. Export it as a SavedModel. "
            f"Received: {trials['float32']['reason']}"
        )
    return contents, trials
