"""Simulated ultrasound with its truth, from a seed."""

import functools

from thyroid_keras.data.phantom.checks import check_choice, check_count, check_least, check_share
from thyroid_keras.data.phantom.picture import Picture, is_positive, simulate
from thyroid_keras.data.phantom.planes import phantom_planes, simulate_plane
from thyroid_keras.data.phantom.series import NOTE, simulate_series
from thyroid_keras.data.phantom.site import phantom_site
from thyroid_keras.data.samples import Sample, SampleTable

__all__ = [
    "LEAKING",
    "NOTE",
    "PHANTOMS",
    "Picture",
    "phantom",
    "phantom_planes",
    "phantom_site",
    "simulate",
    "simulate_plane",
]

CLASS_NAMES = {
    "calcification": ("no calcification", "calcification"),
    "malignancy": ("benign", "malignant"),
}
LEAKING = tuple(CLASS_NAMES)  # into which words can be burned that give the class away
CROPS = {"calcification": "nodule", "malignancy": "frame"}


def phantom(
    num_patients,
    *,
    views=4,
    image_size=192,
    target="calcification",
    seed=0,
    prevalence=0.5,
    crop=None,
    border=False,
    text=False,
    text_leak=0.0,
    typicality=0.0,
    progress=True,
):
    """Simulates the thyroid ultrasound of so many patients.

    Every picture depends on `seed`, its patient and its view alone, so a larger
    table holds the smaller one. The positive patients are spread evenly: any three
    in a row hold both classes at even prevalence.

    Args:
        num_patients: int >= 1; each has one nodule.
        views: int >= 1, pictures of each patient: another plane, gain and speckle.
        image_size: int >= 32, side of the square images in pixels.
        target: `"calcification"` (the mask is that of the calcifications, empty in
            negatives and never in positives) or `"malignancy"` (that of the nodule).
        seed: int >= 0.
        prevalence: in [0, 1], share of positive patients.
        crop: `"nodule"`, the smallest square that holds the nodule with a little
            margin, or `"frame"`, the whole picture; `None` takes the nodule for
            calcification and the frame for malignancy.
        border: bool, adds the dark frame of a screen with scale and grey wedge.
        text: bool, burns in harmless words.
        text_leak: in [0, 1], share of images with burned-in words that give the
            label away, for testing that an audit finds them.
        typicality: float >= 0, how much more than in life the nodules look like what
            they are; see `tirads.draw_descriptors`.
        progress: bool, shows a progress bar.

    Returns:
        `SampleTable` of `num_patients * views` samples, patient by patient.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_count(0, seed=seed)
    check_share(prevalence=prevalence)
    check_least(0, typicality=typicality)
    check_choice(tuple(CLASS_NAMES), target=target)
    settings = {
        "seed": seed,
        "image_size": image_size,
        "crop": CROPS[target] if crop is None else crop,
        "border": border,
        "text": text,
        "text_leak": text_leak,
        "typicality": typicality,
    }
    sample = functools.partial(_sample, target, prevalence, settings)
    samples = simulate_series(sample, num_patients, views, progress=progress)
    notes = (NOTE,)
    if text_leak:
        notes += (f"Burned-in words give the label away in a share of {text_leak:g} images.",)
    if typicality:
        notes += (f"Nodules are more typical than in life, by an exponent of {typicality:g}.",)
    return SampleTable(
        name="phantom",
        samples=samples,
        class_names=CLASS_NAMES[target],
        mask_source="simulated truth",
        target=target,
        notes=notes,
    )


def _sample(target, prevalence, settings, patient, view):
    label = is_positive(settings["seed"], patient, prevalence)
    known = {"calcified" if target == "calcification" else "malignant": label}
    picture = simulate(patient, view, **known, **settings)
    group = f"p{patient + 1:04d}"
    calcified = target == "calcification"
    return Sample(
        name=f"phantom/{group}_v{view + 1}",
        image=picture.image,
        label=int(label),
        group=group,
        mask=picture.calcification if calcified else picture.nodule,
        nodule=picture.nodule if calcified else None,
        spacing_mm=(picture.spacing_mm, picture.spacing_mm),
    )


# What is to be told -> `(num_patients, *, views, image_size, seed, progress)`, its simulation.
PHANTOMS = {
    **{target: functools.partial(phantom, target=target) for target in CLASS_NAMES},
    "plane": phantom_planes,
    "site": phantom_site,
}
