"""Plots and the one-page HTML report of a run."""

from thyroid_keras.report.calcifications import calcification_plot
from thyroid_keras.report.faithfulness import faithfulness
from thyroid_keras.report.gallery import Example, choose_examples, gallery
from thyroid_keras.report.html import write_report
from thyroid_keras.report.learning import learning_curves
from thyroid_keras.report.map_sheet import map_sheet
from thyroid_keras.report.plots import calibration, confusion, precision_recall, roc
from thyroid_keras.report.results import Answers, read_answers, write_plots
from thyroid_keras.report.several import fold_roc, paired_roc
from thyroid_keras.report.style import save_figure

__all__ = [
    "Answers",
    "Example",
    "calcification_plot",
    "calibration",
    "choose_examples",
    "confusion",
    "faithfulness",
    "fold_roc",
    "gallery",
    "learning_curves",
    "map_sheet",
    "paired_roc",
    "precision_recall",
    "read_answers",
    "roc",
    "save_figure",
    "write_plots",
    "write_report",
]
