"""Recipes by architecture: what `train --arch NAME --recipe quick|paper` runs."""

from thyroid_keras.recipes import cs_agnet

RECIPES = cs_agnet.RECIPES
