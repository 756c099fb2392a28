"""Splits: no patient and no picture on two sides, every class in every part."""

import csv
import dataclasses
import os

import numpy as np
import pytest
from PIL import Image
from tables import blobs, write_folder

from thyroid_keras.data.leaks import hash_images, join_groups
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.split_file import read_split, write_split
from thyroid_keras.data.splits import (
    check_leaks,
    make_folds,
    make_splits,
    stratified_subset,
)
from thyroid_keras.other_data import other_table
from thyroid_keras.preparation import choose_recipe, split_data
from thyroid_keras.runs import Run
from thyroid_keras.transfer.data import deal
from thyroid_keras.transfer.settings import Settings


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)


def make_table(num_groups=30, group_size=4, num_classes=2):
    """Groups of one class each, in turn; every picture is its own."""
    samples = tuple(
        Sample(
            name=f"{i}.png",
            image=picture(i),
            label=i // group_size % num_classes,
            group=f"p{i // group_size}",
        )
        for i in range(num_groups * group_size)
    )
    names = tuple("abc"[:num_classes])
    return SampleTable(name="made", samples=samples, class_names=names)


def replace(table, index, **fields):
    samples = list(table.samples)
    samples[index] = dataclasses.replace(samples[index], **fields)
    return dataclasses.replace(table, samples=tuple(samples))


def problems_of(function, *args, **kwargs):
    with pytest.raises(DataError) as info:
        function(*args, progress=False, **kwargs)
    return info.value.problems


def names_of(splits):
    return {part: [s.name for s in table.samples] for part, table in splits.parts.items()}


@pytest.mark.parametrize("group_size", [1, 4])
@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.2), (0.5, 0.25, 0.25), (0.8, 0.1, 0.1)])
def test_splits_hold_everything_once_in_the_wanted_shares(group_size, fractions):
    table = make_table(120 // group_size, group_size)
    splits = make_splits(table, fractions=fractions, seed=3, progress=False)
    names = names_of(splits)
    assert sorted(sum(names.values(), [])) == sorted(s.name for s in table.samples)
    assert check_leaks(splits) == []
    for fraction, part in zip(fractions, splits.parts.values(), strict=True):
        assert abs(len(part) / 120 - fraction) < 0.05
        assert abs(part.labels.mean() - 0.5) < 0.2
    assert names == names_of(make_splits(table, fractions=fractions, seed=3, progress=False))
    assert names != names_of(make_splits(table, fractions=fractions, seed=4, progress=False))


@pytest.mark.parametrize("counts", [(3, 3), (3, 40), (4, 3), (100, 5)])
def test_rare_classes_reach_every_part(counts):
    labels = np.repeat((0, 1), counts)
    samples = tuple(
        Sample(name=str(i), image=picture(i), label=int(label), group=str(i))
        for i, label in enumerate(labels)
    )
    table = SampleTable(name="rare", samples=samples, class_names=("a", "b"))
    for seed in range(3):
        splits = make_splits(table, seed=seed, progress=False)
        assert all(len(np.unique(part.labels)) == 2 for part in splits.parts.values())


def test_too_few_groups_are_refused_by_class():
    table = make_table(num_groups=5, num_classes=2)
    (problem,) = problems_of(make_splits, table)
    assert "class 'b' has samples in 2 groups (patient)" in problem
    absent = dataclasses.replace(make_table(), class_names=("a", "b", "c"))
    assert "class 'c' has samples in 0 groups" in problems_of(make_splits, absent)[0]
    assert len(problems_of(make_folds, table, 5, 0)) == 2
    for fractions in ((0.5, 0.5), (0.5, 0.5, 0.5), (1, 0, 0)):
        with pytest.raises(ValueError, match="Received: fractions="):
            make_splits(table, fractions=fractions)


def test_folds_test_every_sample_once_and_keep_groups_together():
    table = make_table(num_groups=33)
    hashes = hash_images(table, progress=False)
    tested = []
    for fold in range(5):
        splits = make_folds(table, 5, fold, seed=1, hashes=hashes)
        assert check_leaks(splits) == []
        assert sum(map(len, splits.parts.values())) == len(table)
        assert all(len(np.unique(part.labels)) == 2 for part in splits.parts.values())
        tested += names_of(splits)["test"]
    assert sorted(tested) == sorted(s.name for s in table.samples)
    for arguments in ((1, 0), (5, 5), (5, -1)):
        with pytest.raises(ValueError, match="Received: num_folds="):
            make_folds(table, *arguments)


def test_groups_that_share_pictures_are_kept_together():
    table = make_table()
    for a, b in ((0, 40), (41, 80)):  # p0 = p10 = p20, through two different pictures
        table = replace(table, b, image=table.samples[a].image.copy())
    hashes = hash_images(table, progress=False)
    groups, notes = join_groups(table, hashes)
    assert groups[0] == groups[40] == groups[80] and len(np.unique(groups)) == 28
    assert notes == ("Groups that share a picture, kept together: 1 ('p0 = p10 = p20').",)
    for seed in range(8):
        splits = make_splits(table, seed=seed, hashes=hashes)
        assert check_leaks(splits) == [] and splits.test.notes == notes


def test_groups_that_share_pictures_count_once(tmp_path):
    """A run, a bottleneck and other data; `split.csv` keeps the names that the data give."""
    table = blobs(24, masks=False)
    twice = [dataclasses.replace(s, name=f"{s.name}b", group=f"{s.group}b") for s in table.samples]
    table = dataclasses.replace(table, samples=(*table.samples, *twice))
    path, run = tmp_path / "twice.npz", Run(tmp_path)
    write_pack(path, table, (32, 32))
    source = {"path": str(path), "format": None, "target": None, "on_bad": "fail", "folds": None}
    recipe = choose_recipe("ds_agnet", "quick", ())
    for _ in range(2):  # dealt, then read again
        splits = split_data(run, source, recipe, seed=0)
        groups = [sorted(set(part.groups)) for part in splits.parts.values()]
        assert sorted(sum(groups, [])) == sorted({s.group for s in blobs(24).samples})
    with open(run.split, newline="") as file:
        assert {row["group"] for row in csv.DictReader(file)} == set(table.groups)
    assert set(deal([path], Settings(folds=2)).table.groups) == set(sum(groups, []))
    config = {"data": {"target": "calcification", "class_names": table.class_names}}
    assert set(other_table(path, config, {}, recipe).groups) == set(sum(groups, []))


@pytest.mark.parametrize("present", [("train", "val", "test"), ("train", "test"), ("train", "val")])
def test_splits_of_the_data_set_are_kept(present):
    table = make_table()
    for i, sample in enumerate(table.samples):
        group = int(sample.group[1:])
        table = replace(table, i, split=present[group // 2 % len(present)])
    splits = make_splits(table, progress=False)
    for part in ("val", "test"):
        if part in present:
            fixed = [s.name for s in table.samples if s.split == part]
            assert names_of(splits)[part] == fixed
    assert all(len(part) for part in splits.parts.values()) and check_leaks(splits) == []
    notes = make_folds(table, 3, 0, progress=False).train.notes
    assert any("does not heed" in note for note in notes)


def test_fixed_splits_that_leak_are_refused_by_name():
    table = make_table()
    for i, sample in enumerate(table.samples):
        part = ("train", "val", "test")[int(sample.group[1:]) // 2 % 3]
        table = replace(table, i, split=part)
    table = replace(table, 0, split="test")
    table = replace(table, 8, image=table.samples[1].image)
    group, image = problems_of(make_splits, table)
    assert group.startswith("group p0 is in 2 splits (train: '1.png', '2.png', '3.png'; test: '0.")
    assert image.startswith("picture ") and "'1.png'; val: '8.png'" in image
    problems = problems_of(make_splits, replace(replace(table, 5, split=None), 6, split="hold"))
    assert [p.split(":")[0] for p in problems] == ["5.png", "6.png"]


def test_a_class_that_the_fixed_training_part_lacks_is_named():
    table = make_table(num_groups=27, num_classes=3)
    for i, sample in enumerate(table.samples):
        part = ("train", "val", "test")[int(sample.group[1:]) // 3 % 3]
        # of the class c there are only others
        table = replace(table, i, split="val" if (part, sample.label) == ("train", 2) else part)
    (problem,) = problems_of(make_splits, table)
    assert problem == (
        "made: class 'c' has no sample in the fixed training part; add some there, or remove "
        "the class"
    )
    # a part that is not fixed is cut off the training part, which then must be larger
    left = [dataclasses.replace(s, split="train") if s.split == "val" and s.label < 2 else s
            for s in table.samples if (s.split, s.label) != ("val", 2)]  # fmt: skip
    (problem,) = problems_of(make_splits, dataclasses.replace(table, samples=tuple(left)))
    assert "class 'c' has samples in 0 groups (patient) and cannot be in all of 2 parts" in problem


def test_seeded_leaks_are_all_found():
    splits = make_splits(make_table(), progress=False)
    assert check_leaks(splits) == []
    rng = np.random.default_rng(0)
    hashes, test, expected = dict(splits.hashes), list(splits.test.samples), set()
    for k, i in enumerate(rng.choice(len(splits.train), 12, replace=False)):
        victim = splits.train.samples[i]
        if k % 2:
            hashes[test[k].name] = hashes[victim.name]
            expected.add(f"picture {hashes[victim.name]}")
        else:
            test[k] = dataclasses.replace(test[k], group=victim.group)
            expected.add(f"group {victim.group}")
    test.append(splits.val.samples[0])
    expected |= {f"sample {test[-1].name}", f"group {test[-1].group}"}
    expected.add(f"picture {hashes[test[-1].name]}")
    leaky = dataclasses.replace(
        splits, hashes=hashes, test=dataclasses.replace(splits.test, samples=tuple(test))
    )
    found = {leak.split(" is in ")[0] for leak in check_leaks(leaky)}
    # a changed group can also part from its own pictures, but none may be missing
    assert expected <= found


def test_hashing_reads_each_file_once_and_lists_what_it_cannot(tmp_path):
    path = str(tmp_path / "x.png")
    Image.fromarray(picture(0)).save(path)
    samples = [
        Sample(name=f"x#{k}", image=path, label=0, group="g", roi=(k, 0, 2, 2)) for k in range(2)
    ]
    table = SampleTable(name="t", samples=tuple(samples), class_names=("a",))
    hashes = hash_images(table, progress=False)
    assert hashes["x#0"] == hashes["x#1"]
    lost = [dataclasses.replace(s, image=f"{path}{i}") for i, s in enumerate(samples)]
    problems = problems_of(hash_images, dataclasses.replace(table, samples=tuple(lost)))
    assert [p.split(": ")[0] for p in problems] == [f"{path}0", f"{path}1"]
    twice = dataclasses.replace(table, samples=(samples[0], samples[0]))
    assert "several samples are called 'x#0'" in problems_of(hash_images, twice)[0]


def test_subsets_have_the_papers_counts_are_stratified_and_nested():
    labels = np.arange(966) % 3 == 0
    samples = tuple(
        Sample(name=str(i), image=picture(0), label=int(label), group="g")
        for i, label in enumerate(labels)
    )
    table = SampleTable(name="t", samples=samples, class_names=("a", "b"))
    smaller = set()
    for percent, count in ((10, 96), (20, 193), (30, 289), (40, 386), (50, 483), (60, 579)):
        assert count == 966 * percent // 100
        subset = stratified_subset(table, count, seed=1)
        assert len(subset) == count and abs(subset.labels.sum() - count / 3) < 1
        names = [int(s.name) for s in subset.samples]
        assert names == sorted(names) and smaller <= set(names)
        smaller = set(names)
    assert stratified_subset(table, 966).samples == table.samples
    with pytest.raises(DataError, match="leave none of 'b'.*Received: count=1"):
        stratified_subset(table, 1)
    for count in (0, 967, -5):
        with pytest.raises(ValueError, match=f"Received: count={count}"):
            stratified_subset(table, count)


def test_split_file_round_trip(tmp_path):
    table = make_table()
    splits = make_splits(table, progress=False)
    path = tmp_path / "split.csv"
    write_split(path, splits)
    assert path.read_text().startswith("image,group,label,split,sha256\n")
    again = read_split(path, table, progress=False)
    assert names_of(again) == names_of(splits) and again.hashes == splits.hashes
    assert os.listdir(tmp_path) == ["split.csv"]


def test_split_file_names_every_change_of_the_data(tmp_path):
    table = make_table()
    path = tmp_path / "split.csv"
    write_split(path, make_splits(table, progress=False))
    changed = replace(table, 0, image=picture(999))
    changed = replace(changed, 5, group="p9")
    changed = replace(changed, 9, label=1)
    changed = replace(changed, 20, name="new.png")
    problems = "\n".join(problems_of(read_split, path, changed))
    for text in (
        "sha256 of 0.png was",
        "group of 5.png was 'p1' and is 'p9' now",
        "label of 9.png was 'a' and is 'b' now",
        "20.png is in the split but not in the data",
        "new.png is in the data but not in the split",
    ):
        assert text in problems


def test_split_file_with_leaks_or_faults_is_refused(tmp_path):
    table = make_table()
    splits = make_splits(table, progress=False)
    path = tmp_path / "split.csv"
    write_split(path, splits)
    rows = list(csv.reader(path.read_text().splitlines()))
    moved = next(row for row in rows if row[3] == "train")
    moved[3] = "test"
    rows[-1][3] = "holdout"
    rows.append(rows[5])
    rows.append(["1.png"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    problems = "\n".join(problems_of(read_split, path, table))
    for text in (f"group {moved[1]} is in", "Received: split='holdout'", "repeats", "5 cells"):
        assert text in problems
    for data, fault in ((b"a,b\n", "the header must be"), (b"\xff\xfe", "cannot be read")):
        path.write_bytes(data)
        assert fault in problems_of(read_split, path, table)[0]
    assert "cannot be read" in problems_of(read_split, tmp_path / "absent.csv", table)[0]


def test_copies_stored_again_may_not_be_in_two_parts(tmp_path):
    table, path = make_table(group_size=1), tmp_path / "split.csv"
    splits = make_splits(table, progress=False)
    one, other = splits.train.samples[0].name, splits.test.samples[0].name
    write_split(path, splits)
    problems = problems_of(read_split, path, table, copies=((one, other),))
    assert len(problems) == 1 and one in problems[0] and other in problems[0]
    assert len(check_leaks(dataclasses.replace(splits, copies=((one, other),)))) == 1


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    splits = make_splits(make_table(), progress=False)
    path = tmp_path / "split.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DataError, match="split.csv: cannot be written .disk full."):
        write_split(path, splits)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["split.csv"]


def test_a_run_whose_split_cannot_be_written_says_so_by_its_name(tmp_path, monkeypatch):
    source = {"path": str(write_folder(blobs(16), tmp_path / "data")), "format": None}
    source |= {"target": None, "seed": 0, "folds": None, "fold": None}
    recipe = choose_recipe("cs_agnet", "quick", ["image_size=32"])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DataError, match=f"^{tmp_path}/split.csv: cannot be written"):
        split_data(Run(tmp_path), source, recipe, 0)
