"""Plots and the one-page HTML report of a run."""

from thyroid_keras.report.gallery import Example, choose_examples, gallery
from thyroid_keras.report.html import write_report
from thyroid_keras.report.learning import learning_curves
from thyroid_keras.report.plots import calibration, confusion, precision_recall, roc
from thyroid_keras.report.results import write_plots
from thyroid_keras.report.style import save_figure

__all__ = [
    "Example",
    "calibration",
    "choose_examples",
    "confusion",
    "gallery",
    "learning_curves",
    "precision_recall",
    "roc",
    "save_figure",
    "write_plots",
    "write_report",
]
