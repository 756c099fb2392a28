import json

import numpy as np
import pytest
import sklearn.metrics
from scipy import stats

from thyroid_keras import metrics
from thyroid_keras.metrics.by_class import macro_rates

RNG = np.random.default_rng(0)
TRUTH = RNG.random(60) < 0.4
# one decimal: many ties
SCORES = np.clip(np.round(0.3 * TRUTH + 0.7 * RNG.random(60), 1), 0, 1)
WEIGHTS = RNG.integers(0, 3, (5, 60)).astype(float)
GROUPS = np.arange(60) // 3
NAMES = ("benign", "malignant")


def two_columns(scores):
    return np.stack([1 - scores, scores], axis=1)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (metrics.roc_auc, sklearn.metrics.roc_auc_score),
        (metrics.average_precision, sklearn.metrics.average_precision_score),
    ],
)
def test_weighted_areas_equal_scikit_learns(ours, theirs):
    expected = [theirs(TRUTH, SCORES, sample_weight=w) for w in WEIGHTS]
    np.testing.assert_allclose(ours(TRUTH, SCORES, WEIGHTS), expected, atol=1e-12)
    np.testing.assert_allclose(ours(TRUTH, SCORES), [theirs(TRUTH, SCORES)], atol=1e-12)


def test_curves_equal_scikit_learns():
    fpr, tpr, thresholds = metrics.roc_points(TRUTH, SCORES)
    expected = sklearn.metrics.roc_curve(TRUTH, SCORES, drop_intermediate=False)
    for ours, theirs in zip((fpr[0], tpr[0], thresholds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    recall, precision, _ = metrics.precision_recall_points(TRUTH, SCORES)
    theirs_p, theirs_r, _ = sklearn.metrics.precision_recall_curve(TRUTH, SCORES)
    np.testing.assert_allclose(recall[0], theirs_r[-2::-1])
    np.testing.assert_allclose(precision[0], theirs_p[-2::-1])


def test_one_class_has_no_auc():
    assert np.isnan(metrics.roc_auc(np.ones(4, bool), np.arange(4) / 4))
    assert np.isnan(metrics.average_precision(np.zeros(4, bool), np.arange(4) / 4))


def test_wilson_interval_of_nine_in_ten():
    figure = metrics.proportion(9, 10)
    np.testing.assert_allclose(figure["ci95"], [0.5958, 0.9821], atol=1e-4)
    assert figure["value"] == 0.9 and figure["n"] == 10
    assert metrics.proportion(0, 0)["value"] is None


def test_group_weights_draw_whole_groups():
    weights = np.concatenate(list(metrics.group_weights(GROUPS, 50, seed=1)))
    assert weights.shape == (50, 60)
    assert (weights[:, ::3] == weights[:, 1::3]).all()
    assert (weights.sum(axis=1) == 60).all()  # groups of equal size


def test_bootstrap_interval_of_a_mean_is_the_clustered_one():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(80), 4)
    values = np.repeat(rng.normal(size=80), 4)  # four identical images per patient

    def mean(weights):
        return {"mean": weights @ values / weights.sum(axis=1)}

    figure = metrics.bootstrap(mean, groups, draws=2000)["mean"]
    half_width = np.diff(figure["ci95"])[0] / 2
    expected = 1.96 * values[::4].std() / np.sqrt(80)
    assert half_width == pytest.approx(expected, rel=0.08)
    assert figure == metrics.bootstrap(mean, groups, draws=2000)["mean"]
    assert figure != metrics.bootstrap(mean, groups, draws=2000, seed=1)["mean"]


def test_bootstrap_counts_the_draws_it_drops():
    truth = np.array([True, False, False, False])

    def auc(weights):
        return {"auc": metrics.roc_auc(truth, [0.9, 0.1, 0.2, 0.3], weights)}

    figure = metrics.bootstrap(auc, range(4), draws=1000)["auc"]
    # a draw lacks the positive with probability (3/4)^4, all negatives with (1/4)^4
    assert figure["dropped"] == pytest.approx(1000 * (81 / 256 + 1 / 256), abs=45)
    assert figure["ci95"] == [1.0, 1.0] and "note" in figure
    single = metrics.bootstrap(auc, ["p"] * 4)["auc"]
    assert single["ci95"] is None and "one group" in single["reason"]


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(7)
    expected = stats.norm.cdf(1 / np.sqrt(2))  # two unit normals, one apart
    covered = 0
    for seed in range(100):
        truth = np.arange(80) < 40
        scores = rng.normal(size=80) + truth

        def auc(weights, truth=truth, scores=scores):
            return {"auc": metrics.roc_auc(truth, scores, weights)}

        low, high = metrics.bootstrap(auc, range(80), draws=200, seed=seed)["auc"]["ci95"]
        covered += low <= expected <= high
    assert 88 <= covered <= 100


def test_binary_metrics_equal_scikit_learns():
    found = metrics.classification_metrics(
        TRUTH.astype(int), two_columns(SCORES), GROUPS, threshold=0.5, class_names=NAMES
    )
    said = SCORES >= 0.5
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(TRUTH, said),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(TRUTH, said),
        "sensitivity": sklearn.metrics.recall_score(TRUTH, said),
        "specificity": sklearn.metrics.recall_score(~TRUTH, ~said),
        "precision": sklearn.metrics.precision_score(TRUTH, said),
        "f1": sklearn.metrics.f1_score(TRUTH, said),
        "roc_auc": sklearn.metrics.roc_auc_score(TRUTH, SCORES),
        "average_precision": sklearn.metrics.average_precision_score(TRUTH, SCORES),
        "brier": sklearn.metrics.brier_score_loss(TRUTH, SCORES),
        "prevalence": TRUTH.mean(),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-12), name
        low, high = found[name]["ci95"]
        assert low < value < high, name
    assert (found["n"], found["groups"]) == (60, 20)
    assert found["confusion"] == sklearn.metrics.confusion_matrix(TRUTH, said).tolist()
    assert found["accuracy"]["ci95_groups"] != found["accuracy"]["ci95"]
    json.dumps(found, allow_nan=False)


def test_macro_metrics_equal_scikit_learns_over_the_classes_that_occur():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 90)  # the fourth class never occurs
    probabilities = rng.dirichlet(np.ones(4), 90) + 0.3 * np.eye(4)[labels]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = metrics.classification_metrics(
        labels, probabilities, np.arange(90), class_names=("a", "b", "c", "d"), draws=100
    )
    said = probabilities.argmax(axis=1)
    macro = sklearn.metrics.precision_recall_fscore_support(
        labels, said, labels=[0, 1, 2], average="macro", zero_division=0
    )
    assert (said == 3).any()
    ours = [found[name]["value"] for name in ("precision", "sensitivity", "f1")]
    np.testing.assert_allclose(ours, macro[:3])
    each = [sklearn.metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in range(3)]
    assert found["roc_auc"]["value"] == pytest.approx(np.mean(each))
    spared = [sklearn.metrics.recall_score(labels != k, said != k) for k in range(3)]
    assert found["specificity"]["value"] == pytest.approx(np.mean(spared))
    assert found["per_class"][3]["sensitivity"]["value"] is None
    assert found["per_class"][0]["roc_auc"]["value"] == pytest.approx(each[0])
    assert found["threshold"] is None


def test_macro_rates_are_means_over_the_classes_that_occur():
    # the third class never occurs and is named once, the fourth is never named either
    found = macro_rates(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 4, np.ones((1, 4)))
    expected = {"precision": 1, "sensitivity": 3 / 4, "f1": (2 / 3 + 1) / 2, "accuracy": 3 / 4}
    assert {name: value[0] for name, value in found.items()} == pytest.approx(expected)


def test_what_cannot_be_computed_says_why():
    found = metrics.classification_metrics(
        np.zeros(5, int), two_columns(np.full(5, 0.2)), range(5), class_names=NAMES
    )
    for name in ("sensitivity", "precision", "f1", "roc_auc", "average_precision"):
        assert found[name]["value"] is None and found[name]["reason"], name
    assert found["specificity"]["value"] == 1.0
    assert not found["majority"]["beaten"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"probabilities": np.zeros((3, 3))}, "one row per label"),
        ({"probabilities": np.full((3, 2), np.nan)}, r"probabilities\[0\]"),
        ({"probabilities": [[0.5, 0.5], [3.0, -2.0], [0.5, 0.5]]}, r"probabilities\[1\]"),
        ({"labels": [0, 1, 2]}, "from 0 to 1"),
        ({"labels": [0.0, 1.0, 1.0]}, "integers"),
        ({"groups": ["a"]}, "1 groups"),
        ({"class_names": ("only",)}, "two classes"),
    ],
)
def test_misfits_are_refused(change, message):
    fine = {
        "labels": [0, 1, 1],
        "probabilities": [[0.5, 0.5]] * 3,
        "groups": ["a", "b", "c"],
        "class_names": NAMES,
    }
    with pytest.raises(ValueError, match=f"(?s){message}.*") as error:
        metrics.classification_metrics(**fine | change)
    assert "Received:" in str(error.value)


def test_majority_is_beaten_only_with_reason():
    labels = np.array([0] * 30 + [1] * 10)
    perfect = metrics.against_majority(labels, labels, NAMES)
    assert perfect["beaten"] and perfect["class"] == "benign" and perfect["value"] == 0.75
    assert perfect["p_value"] == pytest.approx(2 * 0.5**10)
    nearly = labels.copy()
    nearly[-9:] = 0  # one positive found: better, by luck
    found = metrics.against_majority(labels, nearly, NAMES)
    assert not found["beaten"] and "not reliably" in found["sentence"]
    one = metrics.against_majority(labels, labels, NAMES, ["p"] * 40)
    assert not one["beaten"] and "no interval, " in one["sentence"]


def test_mcnemar_by_hand():
    a = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    b = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    # 5 against 1 of 6 tosses: 2 (1 + 6) / 64
    assert metrics.mcnemar(a, b) == {"only_a": 5, "only_b": 1, "n": 8, "p_value": 14 / 64}
    assert metrics.mcnemar(a, a)["p_value"] == 1.0
    with pytest.raises(ValueError, match="same images"):
        metrics.mcnemar(a, b[:-1])


def test_delong_by_hand():
    truth = np.array([0, 0, 0, 1, 1], bool)
    # a ranks all pairs rightly; b's positive 0.2 outranks two negatives of three
    found = metrics.delong(truth, [0.1, 0.2, 0.3, 0.8, 0.9], [0.1, 0.3, 0.05, 0.2, 0.9])
    assert (found["auc_a"], found["auc_b"]) == (1.0, pytest.approx(5 / 6))
    # placements of a - b: positives (1/3, 0) with variance 1/18, negatives (0, 1/2, 0), 1/12
    z = (1 / 6) / np.sqrt(1 / 18 / 2 + 1 / 12 / 3)
    assert found["p_value"] == pytest.approx(2 * stats.norm.sf(z))
    assert metrics.delong(truth, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])["p_value"] == 1.0
    assert metrics.delong(truth, [1, 2, 3, 4, 5], [5, 4, 3, 2, 1])["value"] is None
    assert metrics.delong([True, False], [1, 2], [2, 1])["value"] is None


def test_delong_agrees_with_the_bootstrap():
    rng = np.random.default_rng(2)
    truth = np.arange(300) < 120
    shared = rng.normal(size=300)
    a, b = (truth * gain + shared + rng.normal(size=300) for gain in (1.5, 0.8))

    def difference(weights):
        return {
            "auc": metrics.roc_auc(truth, a, weights) - metrics.roc_auc(truth, b, weights),
        }

    drawn = metrics.bootstrap(difference, range(300))["auc"]
    exact = metrics.delong(truth, a, b)
    assert exact["value"] == pytest.approx(drawn["value"], abs=1e-12)
    np.testing.assert_allclose(exact["ci95"], drawn["ci95"], atol=0.02)


def two_classifiers(rng, num_groups, size, gains=(1.5, 0.8)):
    """Scores of two classifiers; the images of a group share most of their noise."""
    group = np.repeat(np.arange(num_groups), size)
    truth = group % 2 == 1
    noise = [0.9 * rng.normal(size=num_groups)[group] for _ in range(3)]
    own = [np.sqrt(0.19) * rng.normal(size=len(group)) for _ in range(3)]
    shared, *each = (between + within for between, within in zip(noise, own, strict=True))
    return (
        group,
        truth,
        [gain * truth + (shared + e) / np.sqrt(2) for gain, e in zip(gains, each, strict=True)],
    )


def expected_difference(gains=(1.5, 0.8)):
    """The difference in AUC of two pairs of unit normals that lie so far apart."""
    high, low = stats.norm.cdf(np.array(gains) / np.sqrt(2))
    return high - low


def test_delong_covers_the_truth_where_images_are_independent():
    rng, covered = np.random.default_rng(11), 0
    for _ in range(400):
        _, truth, (a, b) = two_classifiers(rng, 120, 1)
        low, high = metrics.delong(truth, a, b)["ci95"]
        covered += low <= expected_difference() <= high
    # four standard errors of a share of 0.95 of 400
    assert abs(covered / 400 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)


def test_only_the_bootstrap_covers_the_truth_where_patients_have_several_images():
    rng, by_patient, by_image = np.random.default_rng(12), 0, 0
    for seed in range(100):
        group, truth, (a, b) = two_classifiers(rng, 60, 6)
        answers = [(s > 0.5, two_columns(stats.norm.cdf(s))) for s in (a, b)]
        figure = metrics.paired_differences(
            truth.astype(int), *answers, group, draws=200, seed=seed
        )["roc_auc"]
        by_patient += figure["ci95"][0] <= expected_difference() <= figure["ci95"][1]
        low, high = metrics.delong(truth, a, b)["ci95"]
        by_image += low <= expected_difference() <= high
    assert by_patient >= 86, by_patient
    assert by_image <= 75, by_image


def test_paired_differences_are_those_of_the_figures():
    other = np.clip(SCORES + 0.2 * RNG.random(60) - 0.1, 0, 1)
    answers = [((s >= 0.5).astype(int), two_columns(s)) for s in (SCORES, other)]
    found = metrics.paired_differences(TRUTH.astype(int), *answers, GROUPS)
    each = [
        metrics.classification_metrics(TRUTH.astype(int), two_columns(s), GROUPS, class_names=NAMES)
        for s in (SCORES, other)
    ]
    for name, figure in found.items():
        expected = each[0][name]["value"] - each[1][name]["value"]
        assert figure["value"] == pytest.approx(expected, abs=1e-12), name
    gain = metrics.paired_mean(SCORES, other, GROUPS)
    assert gain["value"] == pytest.approx(np.mean(SCORES - other))
    assert metrics.paired_mean(SCORES, SCORES, GROUPS)["ci95"] == [0.0, 0.0]


def test_missing_differences_have_the_reason_of_as_many_classes():
    p = np.full((4, 3), 1 / 3)
    found = metrics.paired_differences(np.ones(4, int), *[(np.ones(4, int), p)] * 2, list("abcd"))
    assert found["sensitivity"]["value"] is None
    assert "positive class" not in found["sensitivity"]["reason"]


def test_each_image_may_have_a_threshold_of_its_own():
    cuts = np.where(np.arange(60) < 30, 0.3, 0.7)
    found = metrics.classification_metrics(
        TRUTH.astype(int), two_columns(SCORES), GROUPS, threshold=cuts, class_names=NAMES
    )
    assert found["accuracy"]["value"] == pytest.approx(np.mean((SCORES >= cuts) == TRUTH))
    assert found["threshold"] == pytest.approx(0.5)


def test_threshold_is_the_midpoint_with_the_largest_youden_index():
    threshold, origin = metrics.choose_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.4, 0.5, 0.9])
    # between 0.2 and 0.4: sensitivity 1, specificity 2/3
    assert threshold == pytest.approx(0.3) and "Youden" in origin
    # 0.15 and 0.75 tie at 1/2: the one nearer to 0.5 wins
    assert metrics.choose_threshold([0, 1, 0, 1], [0.1, 0.2, 0.6, 0.9])[0] == pytest.approx(0.75)
    close = np.nextafter(0.7, 1)
    threshold, _ = metrics.choose_threshold([0, 1], [0.7, close])
    assert 0.7 < threshold <= close


@pytest.mark.parametrize("truth, scores", [([1, 1], [0.2, 0.9]), ([0, 1], [0.4, 0.4])])
def test_threshold_falls_back(truth, scores):
    threshold, origin = metrics.choose_threshold(truth, scores)
    assert threshold == 0.5 and "since" in origin


def test_calibration_error_by_hand():
    scores = np.array([0.05, 0.15, 0.15, 1.0])
    truth = np.array([0, 0, 1, 1], bool)
    bins = metrics.calibration_bins(truth, scores)
    assert [(b["low"], b["observed"]["n"]) for b in bins] == [(0.0, 1), (0.1, 2), (0.9, 1)]
    # gaps 0.05, 0.35, 0 weigh 1, 2, 1
    found = metrics.expected_calibration_error(truth, scores)["value"]
    assert found == pytest.approx((0.05 + 2 * 0.35) / 4)


def masks(*rows):
    return np.array(rows, dtype=bool)[:, None, :]


def test_dice_by_hand():
    truth = masks([1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    predicted = masks([0, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0])
    counts = metrics.overlaps(truth, predicted)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [2, 0, 0], [3, 0, 1]])
    np.testing.assert_allclose(metrics.dice_scores(counts), [2 / 5, np.nan, 0])
    found = metrics.segmentation_metrics(counts, ["a", "b", "c"])
    assert (found["n"], found["negatives"]) == (1, 2)
    assert found["dice"]["value"] == pytest.approx(2 / 5)
    assert found["iou"]["value"] == pytest.approx(1 / 4)
    assert found["false_alarms"]["value"] == 0.5


def test_segmentation_without_any_true_mask_says_so():
    empty = np.zeros((2, 3, 3), bool)
    found = metrics.segmentation_metrics(metrics.overlaps(empty, empty), ["a", "b"])
    assert found["dice"]["reason"] and found["false_alarms"]["value"] == 0.0
    with pytest.raises(ValueError, match="boolean"):
        metrics.overlaps(empty.astype(float), empty)
    with pytest.raises(ValueError, match="one shape"):
        metrics.overlaps(empty, empty[:1])


def test_the_interval_to_quote_is_the_wider_one():
    figure = {"value": 0.5, "ci95": [0.4, 0.6], "ci95_groups": [0.3, 0.55]}
    assert metrics.widest_interval(figure) == [0.3, 0.55]
    assert metrics.widest_interval(figure | {"ci95_groups": None}) == [0.4, 0.6]
    assert metrics.widest_interval({"value": None, "reason": "none"}) is None
