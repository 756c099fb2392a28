"""Recipes by architecture (what `train --arch NAME --recipe quick|paper` runs), and tables."""

from thyroid_keras.recipes import (
    alexnet_seg,
    border,
    classical,
    classifier,
    cs_agnet,
    cs_agnet_tables,
    fan,
    fan_tables,
    global_attention,
    global_attention_tables,
    pixels,
    sononet,
    sononet_tables,
    transfer,
    transfer_tables,
)
from thyroid_keras.recipes.ledger import LEDGER, Statement
from thyroid_keras.recipes.table import (
    GRAD_CAM,
    Claim,
    Comparison,
    Curve,
    Row,
    Sheet,
    Table,
    Task,
)

RECIPES = (
    alexnet_seg.RECIPES
    | border.RECIPES
    | classical.RECIPES
    | classifier.RECIPES
    | cs_agnet.RECIPES
    | fan.RECIPES
    | global_attention.RECIPES
    | pixels.RECIPES
    | sononet.RECIPES
    | transfer.RECIPES
)
TABLES = (
    cs_agnet_tables.TABLES
    | fan_tables.TABLES
    | global_attention_tables.TABLES
    | sononet_tables.TABLES
    | transfer_tables.TABLES
)

__all__ = [
    "GRAD_CAM",
    "LEDGER",
    "RECIPES",
    "TABLES",
    "Claim",
    "Comparison",
    "Curve",
    "Row",
    "Sheet",
    "Statement",
    "Table",
    "Task",
]
