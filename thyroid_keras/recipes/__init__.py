"""Recipes by architecture (what `train --arch NAME --recipe quick|paper` runs), and tables."""

from thyroid_keras.recipes import cs_agnet, sononet
from thyroid_keras.recipes.table import Row, Table

RECIPES = cs_agnet.RECIPES | sononet.RECIPES
TABLES = cs_agnet.TABLES

__all__ = ["RECIPES", "TABLES", "Row", "Table"]
