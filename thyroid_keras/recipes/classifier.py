"""Known classifiers, the baselines of FAN's Table 2 (Wang et al.).

    python -m thyroid_keras.train --arch resnet18 --recipe paper --data DATA
    python -m thyroid_keras.train --arch resnet18                 # phantom, quick

The paper does not say how it trained them; here they are trained as FAN is. Of them VGG-19
does best there, with an accuracy of .8968. Its figures beside ours: RESULTS.rst.
"""

import dataclasses
from typing import Literal

import keras

from thyroid_keras.archs.inception import LEAST_SIDE as INCEPTION_SIDE
from thyroid_keras.archs.pretrained import IMAGENET, unavailable, weights_normalization
from thyroid_keras.archs.source import kept_normalization
from thyroid_keras.archs.torchvision import is_torchvision
from thyroid_keras.recipes.fan import FIGURES
from thyroid_keras.recipes.fan import RECIPES as FAN
from thyroid_keras.recipes.network import NetworkRecipe
from thyroid_keras.recipes.one_phase import train_classifier
from thyroid_keras.recipes.rates import SGDRecipe
from thyroid_keras.training import SettingError, unmet


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(NetworkRecipe):
    """Settings of a known classifier; the defaults are those of FAN.

    Args:
        weights: `none`: random ones; `imagenet`, where Keras publishes them; or the path of
            a .keras, .weights.h5 or (torchvision's) .pth file, see
            `archs.pretrained.start_from`.
        head: `standard`; `cam`, the classifier on a global average; `new_fc`, 256 units on
            the flattened features.
        normalization: of the images, in the network: `none`, `torch`, `caffe`, `tf`, see
            `archs.imagenet.begin`; `auto`: as Keras's or torchvision's weights ask for, or as
            the network of a .keras file does it, else none.
        fine_tune: name of the first layer that learns, in a network with weights; those
            before it stay as they are, their statistics too; `none`: all learn.
        keep_norms: whether batch normalisations stay as the weights brought them; without
            weights they learn.
    """

    weights: str | None = None
    head: Literal["standard", "cam", "new_fc"] = "standard"
    normalization: Literal["auto", "none", "torch", "caffe", "tf"] = "auto"
    fine_tune: str | None = None
    keep_norms: bool = False

    def problems(self):
        """Returns what is out of range, as a list of str."""
        found = unmet(self, {"fine_tune": self.weights is not None or self.fine_tune is None})
        if self.arch == "inception_v3" and min(self.size) < INCEPTION_SIDE:
            found.append(
                f"--set image_size: inception_v3 takes sides of at least {INCEPTION_SIDE}. "
                f"Received: image_size={self.image_size!r}"
            )
        if self._published() and self.normalization != "auto":
            wanted = weights_normalization(self.arch, self.weights) or "none"
            if self.normalization != wanted:
                found.append(
                    f"--set normalization: these weights of {self.arch} ask for {wanted}, which "
                    f"`auto` takes. Received: normalization={self.normalization!r}"
                )
        problem = unavailable(self.arch, self.weights)
        return super().problems() + found + ([f"--set weights: {problem}"] if problem else [])

    def idle(self):
        """Returns which fields change nothing beside the others."""
        alone = {"keep_norms": "without weights they learn"} if self.weights is None else {}
        return super().idle() | alone

    def _published(self):
        """Whether the weights are Keras's or torchvision's, which say how they see images."""
        return self.weights == IMAGENET or is_torchvision(self.weights)

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        normalization = self.normalization
        if normalization == "auto":
            if self._published():
                normalization = weights_normalization(self.arch, self.weights)
            else:
                normalization = kept_normalization(self.weights)
        return {
            "weights": self.weights,
            "head": self.head,
            "normalization": None if normalization == "none" else normalization,
        }

    def frozen(self, network):
        """Returns which layers stay as they are, see `training.Phase.frozen`.

        Raises:
            SettingError: if the network has no layer called `fine_tune`.
        """
        names = [layer.name for layer in network.layers]
        if self.fine_tune not in (None, *names):
            known = ", ".join(layer.name for layer in network.layers if layer.weights)
            raise SettingError(
                f"--set fine_tune: {self.arch} has no such layer; choose among {known}. "
                f"Received: fine_tune={self.fine_tune!r}"
            )
        kept = names[: names.index(self.fine_tune)] if self.fine_tune else []
        if self.keep_norms and self.weights is not None:
            norms = keras.layers.BatchNormalization
            kept += [layer.name for layer in network.layers if isinstance(layer, norms)]
        return tuple(f"{name}/" for name in kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetRecipe(ClassifierRecipe):
    """Settings of a ResNet beside those of the others.

    Args:
        shortcut: where a block changes the shape: `A` pads with zeros, `B` projects; `C`
            projects in every block; `standard` is `B`.
    """

    shortcut: Literal["standard", "A", "B", "C"] = "A"

    def problems(self):
        """Returns what is out of range, as a list of str."""
        fits = not self._published() or self.shortcut in ("standard", "B")
        return super().problems() + unmet(self, {"shortcut": fits})

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        return super().arguments() | {"shortcut": self.shortcut}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VGGAttentionRecipe(ClassifierRecipe):
    """Settings of VGG-att3 beside those of the others; it has one head.

    Args:
        attention: how its maps are normalised.
    """

    attention: Literal["softmax", "sigmoid"] = "softmax"

    def problems(self):
        """Returns what is out of range, as a list of str."""
        return super().problems() + unmet(self, {"head": self.head == "standard"})

    def arguments(self):
        """Returns the arguments of the builder that are settings of the recipe, as a dict."""
        shared = {k: v for k, v in super().arguments().items() if k != "head"}
        return shared | {"attention": self.attention}


# Table 2, by architecture; parameters of 224x224x3 and two classes
REPORTED = {
    "vgg19": (0.8968, 0.9222, 0.8588, 0.9176, 0.9198),
    "resnet18": (0.8449, 0.8574, 0.7514, 0.9012, 0.8788),
    "resnet34": (0.8629, 0.8910, 0.7295, 0.8890, 0.8900),
    "resnet50": (0.8442, 0.8894, 0.8232, 0.8568, 0.8728),
    "densenet40": (0.8962, 0.9262, 0.8803, 0.9057, 0.9158),
}
SHORTCUTS = {"resnet18": "A", "resnet34": "A", "resnet50": "C", "resnet152": "standard"}
OTHERS = ("densenet40", "densenet161", "googlenet", "resattnet92", "vgg16", "vgg19", "vgg_att3")
SMALL_PX = {  # minutes on two cores
    **dict.fromkeys(("densenet161", "resattnet92", "resnet152", "vgg16", "vgg19"), 64),
    "vgg_att3": 32,
}
OWN = {"arch", "procedure", "reported", "channels"}  # all else the quick scale has of FAN's


def reported(recipe):
    """Returns the paper's figures for this architecture, as it is counted there, at 224 px."""
    as_counted = getattr(recipe, "shortcut", None) == SHORTCUTS.get(recipe.arch)
    row = REPORTED.get(recipe.arch, ()) if recipe.image_size == 224 and as_counted else ()
    return dict(zip(FIGURES, row, strict=False))


def _recipes(arch):
    kind, own = ClassifierRecipe, {}
    if arch in SHORTCUTS:
        kind, own = ResNetRecipe, {"shortcut": SHORTCUTS[arch]}
    elif arch == "vgg_att3":
        kind = VGGAttentionRecipe
    paper = kind(arch=arch, procedure=train_classifier, reported=reported, **own)
    shared = {f.name for f in dataclasses.fields(SGDRecipe)} - OWN
    quick = {name: getattr(FAN["fan"]["quick"], name) for name in shared}
    quick["image_size"] = SMALL_PX.get(arch, quick["image_size"])
    return {"paper": paper, "quick": dataclasses.replace(paper, **quick)}


RECIPES = {arch: _recipes(arch) for arch in (*SHORTCUTS, *OTHERS)}
