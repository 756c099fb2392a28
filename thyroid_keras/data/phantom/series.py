"""Simulated views of many patients, one after the other."""

import itertools

from thyroid_keras.data.phantom.checks import check_count
from thyroid_keras.data.progress import track

NOTE = "Simulated ultrasound: figures on it say nothing about patients."


def simulate_series(sample, num_patients, views, *, progress):
    """Simulates so many views of each patient.

    Args:
        sample: function of a patient's and a view's number, both from 0, to a `Sample`.
        num_patients: int >= 1.
        views: int >= 1, of each.
        progress: bool, shows a progress bar.

    Returns:
        tuple of `num_patients * views` samples, patient by patient.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(1, num_patients=num_patients)
    check_count(1, views=views)
    pairs = list(itertools.product(range(num_patients), range(views)))
    return tuple(sample(*pair) for pair in track(pairs, "Simulating ultrasound", show=progress))
