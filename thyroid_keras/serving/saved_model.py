"""From a run to a version that TensorFlow Serving can load."""

import io
import shlex
from pathlib import Path
from urllib.parse import quote

import keras
import numpy as np
from PIL import Image

from thyroid_keras.answers import num_classes
from thyroid_keras.borders import border_remover, borders_in
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.borders.screens import compose
from thyroid_keras.data.decode import load_sample
from thyroid_keras.data.samples import Sample
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.loading import float32_twin, load
from thyroid_keras.prediction import class_probabilities, input_size
from thyroid_keras.runs import (
    Run,
    RunError,
    classes_of,
    threshold_of,
    write_json,
    write_text,
)
from thyroid_keras.serving.card import model_card
from thyroid_keras.serving.exportable import check_exportable, model_name
from thyroid_keras.serving.page import card_page
from thyroid_keras.serving.versions import check_target, publish

TOLERANCE = 1e-5
# where the format keeps files that only people and clients read
CARD = Path("assets.extra") / "model_card.json"


def export(folder, *, to=None, say=print):
    """Exports the model of a run as the next version of a TensorFlow SavedModel.

    What it answers to the bytes of a PNG, JPEG or BMP is what `predict` answers to the
    file, within 1e-5, borders removed where the run removes them; that is tried on a picture
    before the version is published.
    `README.md` and, for programs, `assets.extra/model_card.json` say what the model is and
    how good; beside the card lie requests to warm a server up and examples of its settings.

    Args:
        folder: of the run.
        to: folder of the versions; `None`: `saved_models/<arch>`.
        say: function of one line of text.

    Returns:
        `pathlib.Path` of the version, `<to>/<whole number>`.

    Raises:
        RunError: if the run is not finished, cannot be exported (see `exportable`), `to`
            cannot be written to, or Keras runs on another backend than TensorFlow.
        ModelError: if the run's model, or that of its borders, is missing or damaged.
    """
    if keras.backend.backend() != "tensorflow":
        raise RunError(
            "A SavedModel is written by TensorFlow, whatever the run was trained with: put "
            "KERAS_BACKEND=tensorflow before the command. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    run = Run.open(folder, "metrics", "model")
    config, metrics = run.read_config(), run.read_metrics()
    check_exportable(run, config, can_remove_borders=True)
    to = Path(to or Path("saved_models") / model_name(config))
    check_target(to)
    model = float32_twin(load(folder))
    class_names = classes_of(run, num_classes(model))
    threshold = threshold_of(run, len(class_names))
    recipe = config.get("recipe") or {}
    clean = border_remover(borders_in(run, recipe.get("borders", "none")))

    name, size, signatures = to.absolute().name, input_size(model)[0], {}

    def write(path):
        # only now: TensorFlow is not installed where Keras runs on JAX alone
        from thyroid_keras.serving.server_files import write_server_files
        from thyroid_keras.serving.signatures import write_signatures

        segmentation = metrics.get("segmentation") or {}
        known = class_names, threshold, segmentation.get("threshold", 0.5), clean
        signatures.update(write_signatures(path, fold_batch_norm(model), *known))
        card = model_card(config, metrics, model) | {"signatures": signatures}
        write_json(path / CARD, card)
        write_text(path / "README.md", card_page(name, card))
        write_server_files(path, name, [s for s in signatures if s != "serve_tensor"], size)
        _check(path, model, clean)

    say(f"Exporting {config['arch']} of {run.folder} …")
    version = publish(to, write)
    num_bytes = sum(path.stat().st_size for path in version.rglob("*"))
    say(f"Exported, and answers as predict does: {version} ({num_bytes / 1e6:.1f} MB)")
    if "explain" not in signatures:
        say("It has no signature `explain`: the network has neither maps nor a mask to show.")
    say(f"What it takes and gives: saved_model_cli show --dir {shlex.quote(str(version))} --all")
    say(
        f"Ask a server for it: POST /v1/models/{quote(name)}:predict "
        '{"instances": [{"image_bytes": {"b64": "…"}}]}'
    )
    return version


def _check(path, model, clean):
    """Refuses to go on if the files do not answer as the model does."""
    from thyroid_keras.serving.signatures import answer

    size, channels = input_size(model)
    encoded = io.BytesIO()
    Image.fromarray(_trial(size) if clean is None else _screen()).save(encoded, "PNG")
    trial = Sample(name="trial", image=encoded.getvalue(), label=0, group="trial")
    # where borders are removed: the graph does it on the processor, whose digits are its own
    with keras.device("cpu:0"):
        image, _ = load_sample(trial, size, channels, clean=clean)
    images = image.reshape(1, *size, channels) * GREY_LEVEL
    expected = class_probabilities(model.predict_on_batch(images))
    found = answer(path, [encoded.getvalue()])["probabilities"]
    if not np.abs(found - expected).max() <= TOLERANCE:
        raise RuntimeError(
            f"{path}: the SavedModel answers {found} where the model answers {expected}; "
            "please report this with the versions of TensorFlow and Keras"
        )


def _trial(size):
    """Colours of a size that must be changed."""
    height, width = size
    return np.random.default_rng(0).integers(0, 256, (height + 7, width - 5, 3), np.uint8)


def _screen():
    """Speckle on a made-up screen, with text over and about it."""
    rng = np.random.default_rng(0)
    speckle = np.uint8(rng.integers(40, 160, (24, 32)).repeat(8, axis=0).repeat(8, axis=1))
    return compose([speckle], rng).image
