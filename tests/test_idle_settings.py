"""Settings that change nothing beside the others: told before a training, and truly idle."""

import dataclasses

import keras
import numpy as np
import pytest

from thyroid_keras import train
from thyroid_keras.data.phantom import PHANTOMS
from thyroid_keras.data.splits import make_splits
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.training import Training, differences, in_vain, override

UNET = ["image_size=32", "stage_filters=2,3,4,5,6", "segmentation_epochs=1"]
FAN = ["image_size=64", "eta=4", "kappa=2", "epochs=1", "batch_size=8"]
SONONET = ["image_size=32,48", "filters=2", "warm_start_epochs=0", "epochs=1", "batch_size=8"]
MAP = ["image_size=32", "backbone=sononet", "backbone_arguments=filters=2", "epochs=1",
       "batch_size=8"]  # fmt: skip
CASES = {  # what is asked for, and what then says nothing, each with another value
    "ds_agnet": ("ds_agnet", UNET, [
        "epochs=7", "learning_rate=0.5", "label_loss_weight=3", "vote_loss_weight=2",
        "pseudo_masks=soft", "pseudo_mask_threshold=0.9", "keep_real_masks=true",
        "zero_negative_masks=true", "start_from_segmentation=false", "learning_rate_decay=0.9",
    ]),
    "fan without feedback": ("fan", [*FAN, "feedback=none"], [
        "passes=3", "gate_at=lfm", "evidence=class", "gate_scale=standardise", "gate_target=last",
        "gate_form=sigmoid", "first_pass_loss_weight=2", "decay_epochs=2", "decay_factor=0.9",
    ]),
    "fan of one pass": ("fan", [*FAN, "passes=1"], [
        "gate_at=lfm", "evidence=class", "gate_scale=standardise", "gate_target=last",
        "gate_form=sigmoid", "first_pass_loss_weight=2",
    ]),
    "ag_sononet of one vote": ("ag_sononet", [*SONONET, "aggregation=concat"], [
        "ft_input=softmax", "scale_epochs=9", "vote_loss_weight=3", "per_class=5",
    ]),
    "ag_sononet, mean": ("ag_sononet", [*SONONET, "aggregation=mean"], ["vote_loss_weight=3"]),
    "sononet as its authors": (
        "sononet",
        ["image_size=32,48", "filters=2", "epochs=1", "batch_size=8", "augmentation=authors",
         "sampling=shuffle", "warm_up_epochs=0"],
        ["zoom=0.5,0.6", "shift_px=9", "anisotropic_zoom=true", "gain=0.5",
         "flip_horizontal=1", "background=Femur", "warm_up_factor=0.3"],
    ),
    "a free map": ("global_attention", [*MAP, "mode=l1"], [
        "pixel_channels=3", "kernel_size=5", "hidden_layers=2", "last_kernel_size=3",
        "dense=true", "max_reference_images=2", "cutoff_epochs=900", "kept_epochs=2",
    ]),
    "no map": ("global_attention", [*MAP, "mode=none"], ["penalty=9", "reduction=sum"]),
    "rmsprop": (
        "small_cnn",
        ["image_size=32", "epochs=1", "batch_size=8"],
        ["momentum=0.1", "warm_up_factor=0.7"],
    ),
    "no weights": ("resnet18", ["image_size=32", "epochs=1", "batch_size=8"], ["keep_norms=true"]),
    "pixels": ("pixel_classifier", ["image_size=16", "penalties=0.01", "cv_folds=2"], [
        "kernels=rbf", "rotation_deg=40", "gain=0.5", "flip_vertical=1",
    ]),
    "borders": (
        "border_unet",
        ["image_size=64,64", "stage_filters=2,3,4", "epochs=1", "screens=8", "val_screens=4",
         "simulated_views=0", "phantom_patients=12"],
        ["rotation_deg=40", "gain=0.5", "flip_horizontal=1"],
    ),
}  # fmt: skip


def weights(recipe, folder):
    keras.backend.clear_session()
    views = {"views": 4} if recipe.target == "plane" else {"views": 1}
    splits = make_splits(PHANTOMS[recipe.target](24, seed=3, **views), progress=False)
    model = recipe.procedure(recipe, splits, Training(checkpoints=folder, feed=feed))
    return np.concatenate([w.ravel() for w in model.get_weights()])


@pytest.mark.parametrize(
    "case", ["ds_agnet", *(pytest.param(c, marks=pytest.mark.slow) for c in list(CASES)[1:])]
)
def test_they_change_nothing(case, tmp_path):
    arch, asked, idle = CASES[case]
    recipe = override(RECIPES[arch]["quick"], asked)
    changed = override(recipe, idle)
    found = [weights(each, tmp_path / str(n)) for n, each in enumerate((recipe, changed))]
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_others_do_change_the_weights(tmp_path):
    """Or the test above could not fail."""
    recipe = override(RECIPES["ds_agnet"]["quick"], UNET)
    changed = dataclasses.replace(recipe, segmentation_learning_rate=0.5)
    assert differences(changed, recipe) and not in_vain(changed, recipe)
    one, other = (weights(each, tmp_path / str(n)) for n, each in enumerate((recipe, changed)))
    assert (one != other).any()


@pytest.mark.parametrize("case", CASES)
def test_they_are_told_apart(case):
    arch, asked, idle = CASES[case]
    recipe = override(RECIPES[arch]["quick"], asked)
    changed = override(recipe, idle)
    told = in_vain(changed, recipe)
    assert [line.split()[0] for line in told] == [
        name for name in recipe.settings() if name in {text.partition("=")[0] for text in idle}
    ]
    assert not differences(changed, recipe)


@pytest.mark.parametrize("arch", RECIPES)
def test_all_are_fields(arch):
    for recipe in RECIPES[arch].values():
        names = set(recipe.idle()) - {
            "shift_px",
            "anisotropic_zoom",
            "inverse_zoom",
            "noise",
            "fill",
        }
        assert names <= set(recipe.settings())


def test_a_person_is_told(tmp_path, capsys):
    small = ["image_size=32", "stage_filters=2,3,4,5,6", "segmentation_epochs=1", "epochs=5",
             "phantom_patients=24", "phantom_views=1"]  # fmt: skip
    train.main(["--arch", "ds_agnet", "--out", str(tmp_path / "run"), "--set", *small])
    said = capsys.readouterr().out
    assert "Set, but without effect: epochs 5 (ds_agnet learns stage one alone" in said
    assert "epochs 5 instead" not in said and "segmentation_epochs 1 instead of 100" in said
    train.main(["--arch", "ds_agnet", "--set", "help"])
    said = capsys.readouterr().out
    meaning = said.split("\n  epochs=")[1].split("\n")[1]
    assert meaning.endswith("Without effect here: ds_agnet learns stage one alone, see "
                            "segmentation_epochs.")  # fmt: skip
    assert said.count("Without effect here") == 10
