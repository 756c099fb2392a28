"""`train --augment-before-split`: the leak, its two figures, and who refuses the run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from check import fails
from tables import blobs
from test_bottleneck import twins

from thyroid_keras import compare, evaluate, export, train
from thyroid_keras.data.copies import COPIES, augment_before_split, leave_no_validation
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.splits import make_splits
from thyroid_keras.preparation import choose_recipe
from thyroid_keras.recipes import Row
from thyroid_keras.runs import Run, RunError, read_csv
from thyroid_keras.serving.exportable import check_exportable
from thyroid_keras.tables.begun import check_begun
from thyroid_keras.tables.cells import Cell, Options

TINY = ["image_size=32", "channels=1", "classifier=svm", "kernels=rbf", "penalties=10"]


def test_copies_are_dealt_singly_and_the_test_images_are_not_among_them():
    splits = make_splits(blobs(48), progress=False)
    pool = leave_no_validation(splits)
    assert len(pool.train) == len(splits.train) + len(splits.val) and not len(pool.val)
    found = augment_before_split(pool, (32, 32), 1)
    parts = (found.train, found.val, found.leaked)
    names = [s.name for part in parts for s in part.samples]
    assert len(set(names)) == len(names) == (COPIES + 1) * len(pool.train)
    assert found.test is splits.test and not {*names} & {s.name for s in splits.test.samples}
    groups = [set(part.groups) for part in parts]
    assert groups[0] & groups[1] and groups[0] & groups[2], "nothing leaks"
    assert not set.union(*groups) & set(splits.test.groups)
    known = {s.name: s for s in pool.train.samples}
    for part in parts:
        for sample in part.samples:
            source = known[sample.name.split("#")[0]]
            assert (sample.label, sample.group) == (source.label, source.group)
            assert found.hashes[sample.name] == splits.hashes[source.name]
            assert np.array_equal(sample.image, source.image) == (
                sample is source or "#" not in sample.name
            )
            inside = sample.mask > 127  # moved with its image
            assert (
                not inside.any() or sample.image[inside].mean() > 150 > sample.image[~inside].mean()
            )
    again = augment_before_split(pool, (32, 32), 1)
    for one, other in zip(found.leaked.samples, again.leaked.samples, strict=True):
        assert one.name == other.name and np.array_equal(one.image, other.image)


def test_a_file_may_be_called_a_copy_itself():
    table = blobs(48)
    odd = tuple(dataclasses.replace(s, name=f"{s.name}#copy.png") for s in table.samples)
    splits = make_splits(dataclasses.replace(table, samples=odd), progress=False)
    found = augment_before_split(leave_no_validation(splits), (32, 32), 1)
    names = [s.name for part in (found.train, found.val, found.leaked) for s in part.samples]
    for name in names:
        source = name[: name.index(".png") + len(".png")]
        assert found.hashes[name] == splits.hashes[source]


def test_a_run_that_leaks_is_not_exported():
    config = {"arch": "fan", "data": {"source": {"augment_before_split": True}}}
    with pytest.raises(RunError, match="run: trained with a leak on purpose(.|\\n)*Train without"):
        check_exportable(Run("run"), config, can_remove_borders=True)
    check_exportable(Run("run"), config | {"data": {"source": {}}}, can_remove_borders=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "twins.npz"
    write_pack(path, twins(40), (32, 32))
    return path


@pytest.fixture(scope="module")
def words(data):
    return ["--arch", "pixel_classifier", "--data", str(data), "--set", *TINY]


@pytest.fixture(scope="module")
def folder(words, tmp_path_factory):
    """A run whose labels nothing tells but which patient it is."""
    out = tmp_path_factory.mktemp("run") / "run"
    train.main([*words, "--augment-before-split", "--out", str(out)])
    return out


@pytest.mark.slow
def test_both_figures_are_shown_and_the_wrong_one_is_called_so(folder):
    run = Run(folder)
    found, config, page = run.read_metrics(), run.read_config(), run.report.read_text()
    assert found["leak"]["roc_auc"]["value"] > found["roc_auc"]["value"] + 0.2
    assert found["n"] == 16 and found["leak"]["n"] + 4 * 16 < 320 and "validation" not in found
    assert config["data"]["source"]["augment_before_split"] is True
    (note,) = (note for note in config["data"]["notes"] if "Wrong on purpose" in note)
    right, wrong = (f"{of['roc_auc']['value']:.2f} (" for of in (found, found["leak"]))
    for said in (page, run.log_file.read_text()):
        assert "Wrong on purpose" in said and "That figure is wrong" in said
        assert f"the network reaches an AUC of {wrong}" in said
        assert f"expect the other: {right}" in said
    assert "no patient is in two splits" not in page
    assert page.index("Wrong on purpose") < page.index("<h2>"), "not where it is seen"
    rows = read_csv(run.split)
    assert {row["split"] for row in rows} == {"train", "test"} and len(rows) == 80
    assert f"{sum(row['split'] == 'train' for row in rows)} images were augmented first" in note


@pytest.mark.slow
def test_it_is_judged_as_before_and_resumed_as_it_was_begun(folder, words, capsys, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run")
    evaluate.main([str(copy)])
    assert Run(copy).read_metrics() == Run(folder).read_metrics()
    assert "That figure is wrong" in capsys.readouterr().out
    said = fails(train.main, [*words, "--resume", "--out", copy], capsys)
    assert "these differ: data" in said
    options = Options(scale="quick", data=words[3], target=None, format=None, settings=(), seed=0,
                      precision="float32", on_bad="fail")  # fmt: skip
    recipe = choose_recipe("pixel_classifier", "quick", TINY)
    row = Row(name="x", label="x", arch="pixel_classifier")
    cell = Cell(row=row, recipe=recipe, folder=copy, log=copy / "log", command=())
    with pytest.raises(RunError, match="differ: data"):
        check_begun([cell], options)


@pytest.mark.slow
def test_other_data_do_not_make_it_a_fair_one(folder, tmp_path):
    write_pack(tmp_path / "other.npz", twins(8, seed=5), (32, 32))
    evaluate.main([str(folder), "--data", str(tmp_path / "other.npz")])
    other = Run(folder / "evaluation-other.npz")
    assert not {"validation", "leak"} & set(other.read_metrics())
    assert "Wrong on purpose" in other.report.read_text()


@pytest.mark.slow
def test_it_is_not_exported_and_compare_says_what_it_is(folder, capsys, tmp_path):
    for kind in export.FORMATS:
        said = fails(export.main, [folder, "--format", kind, "--to", tmp_path / kind], capsys)
        assert "trained with a leak on purpose" in said and not (tmp_path / kind).exists()
    compare.compare(folder, folder, json=tmp_path / "found.json")
    assert capsys.readouterr().out.count("Wrong on purpose") == 2
    assert "warning" in json.loads((tmp_path / "found.json").read_text())["runs"][0]


def test_a_network_without_classes_is_refused(capsys, tmp_path):
    words = ["--arch", "border_unet", "--augment-before-split", "--out", tmp_path / "run"]
    assert "border_unet finds borders" in fails(train.main, words, capsys)
    assert not (tmp_path / "run").exists()
