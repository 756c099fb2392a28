"""What a simulated nodule looks like: TI-RADS descriptors drawn under a diagnosis."""

import numpy as np

# value: (probability if benign, probability if malignant); every descriptor
# overlaps, so that none of them decides alone
TABLE = {
    "composition": {
        "cystic": (0.10, 0.02),
        "spongiform": (0.20, 0.04),
        "mixed": (0.30, 0.22),
        "solid": (0.40, 0.72),
    },
    "echogenicity": {
        "hyperechoic": (0.20, 0.08),
        "isoechoic": (0.45, 0.25),
        "hypoechoic": (0.30, 0.47),
        "very hypoechoic": (0.05, 0.20),
    },
    "shape": {"wider than tall": (0.88, 0.52), "taller than wide": (0.12, 0.48)},
    "margin": {
        "smooth": (0.60, 0.22),
        "ill-defined": (0.25, 0.23),
        "lobulated": (0.10, 0.33),
        "spiculated": (0.05, 0.22),
    },
    "halo": {"none": (0.55, 0.85), "present": (0.45, 0.15)},
}
# among the calcified
CALCIFICATIONS = {"micro": (0.40, 0.65), "macro": (0.40, 0.25), "rim": (0.20, 0.10)}
CALCIFIED = (0.30, 0.60)

POINTS = {
    "composition": {"cystic": 0, "spongiform": 0, "mixed": 1, "solid": 2},
    "echogenicity": {"hyperechoic": 1, "isoechoic": 1, "hypoechoic": 2, "very hypoechoic": 3},
    "shape": {"wider than tall": 0, "taller than wide": 3},
    "margin": {"smooth": 0, "ill-defined": 0, "lobulated": 2, "spiculated": 2},
    "calcification": {"none": 0, "macro": 1, "rim": 2, "micro": 3},
}


def draw_descriptors(rng, *, malignant=None, calcified=None, typicality=0.0):
    """Draws the descriptors of one nodule.

    Args:
        rng: `numpy.random.Generator`.
        malignant: bool; `None` draws it given `calcified`.
        calcified: bool; `None` draws it given `malignant`.
        typicality: float >= 0, how much likelier than in `TABLE` is what speaks for the
            diagnosis: p (p / q)^typicality, where q is the probability if it were the
            other. At 0 all descriptors together tell it with an AUC of .91, at 1 of .99.

    Returns:
        dict: `malignant` (bool), `composition`, `echogenicity`, `shape`, `margin`,
        `halo`, `calcification` (str), `points` (int) and `level` (`"TR1"` to
        `"TR5"`).

    Reference: Tessler et al. 2017, ACR TI-RADS, J Am Coll Radiol 14:587, Fig. 1.
    Deviation: the halo carries no points, as there; the probabilities are ours.
    """
    if malignant is None:
        prior = 0.5 if calcified is None else _posterior(calcified)
        malignant = bool(rng.random() < prior)
    if calcified is None:
        calcified = bool(rng.random() < CALCIFIED[malignant])
    found = {"malignant": malignant}
    for name, values in TABLE.items():
        found[name] = _draw(rng, values, malignant, typicality)
    if calcified and found["composition"] == "cystic":
        found["composition"] = "mixed"  # calcium needs tissue to lie in
    # drawn even where it is not used, so that both labels consume the same numbers
    kind = _draw(rng, CALCIFICATIONS, malignant, typicality)
    found["calcification"] = kind if calcified else "none"
    found["points"] = acr_points(found)
    found["level"] = acr_level(found["points"])
    return found


def acr_points(descriptors):
    """Returns the sum of the ACR TI-RADS points, int >= 0."""
    if descriptors["composition"] == "spongiform":
        return 0  # "do not add further points", says the chart
    return sum(values[descriptors[name]] for name, values in POINTS.items())


def acr_level(points):
    """Returns the ACR TI-RADS level of a sum of points, `"TR1"` to `"TR5"`."""
    return f"TR{1 + (points >= 2) + (points >= 3) + (points >= 4) + (points >= 7)}"


def _posterior(calcified):
    """Probability of malignancy given calcification, at even odds beforehand."""
    benign, malignant = CALCIFIED if calcified else (1 - p for p in CALCIFIED)
    return malignant / (benign + malignant)


def _draw(rng, values, malignant, typicality):
    here, there = np.array(list(values.values())).T[:: -1 if malignant else 1]
    chances = here * (here / there) ** typicality
    return str(rng.choice(list(values), p=chances / chances.sum()))
