"""Figures that say how good a classifier is, each with how far to trust it."""

from thyroid_keras.metrics.classification import brief, classification_metrics
from thyroid_keras.metrics.comparison import against_majority, delong, mcnemar
from thyroid_keras.metrics.curves import (
    average_precision,
    calibration_bins,
    expected_calibration_error,
    precision_recall_points,
    roc_auc,
    roc_points,
)
from thyroid_keras.metrics.decisions import choose_threshold, decide
from thyroid_keras.metrics.intervals import (
    bootstrap,
    group_weights,
    missing,
    proportion,
    widest_interval,
)
from thyroid_keras.metrics.localisation import NO_TRUE_BOX, box_iou, localisation_metrics
from thyroid_keras.metrics.maps import (
    curve_area,
    mean_figures,
    pixel_average_precision,
    pointing_hits,
    pointing_tolerance,
    within,
)
from thyroid_keras.metrics.paired import paired_differences, paired_mean
from thyroid_keras.metrics.segmentation import (
    MASK_THRESHOLDS,
    best_threshold,
    dice_scores,
    overlaps,
    segmentation_metrics,
)

__all__ = [
    "MASK_THRESHOLDS",
    "NO_TRUE_BOX",
    "against_majority",
    "average_precision",
    "best_threshold",
    "bootstrap",
    "box_iou",
    "brief",
    "calibration_bins",
    "choose_threshold",
    "classification_metrics",
    "curve_area",
    "decide",
    "delong",
    "dice_scores",
    "expected_calibration_error",
    "group_weights",
    "localisation_metrics",
    "mcnemar",
    "mean_figures",
    "missing",
    "overlaps",
    "paired_differences",
    "paired_mean",
    "pixel_average_precision",
    "pointing_hits",
    "pointing_tolerance",
    "precision_recall_points",
    "proportion",
    "roc_auc",
    "roc_points",
    "segmentation_metrics",
    "widest_interval",
    "within",
]
