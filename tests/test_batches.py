"""Pixel store, batches, tf.data pipeline and pack: the same pixels by every road."""

import dataclasses
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from tables import blobs, write_folder

from thyroid_keras.data import store as store_module
from thyroid_keras.data.augment import Augmentation
from thyroid_keras.data.batches import Batches
from thyroid_keras.data.pack import read_pack, write_pack
from thyroid_keras.data.pipeline import dataset
from thyroid_keras.data.readers import read
from thyroid_keras.data.samples import DataError, Sample
from thyroid_keras.data.store import PixelStore, choose_cache


def pair(arrays):
    return arrays["image"], {"mask": arrays["mask"], "label": arrays["label"]}


def make_batches(table=None, cache="memory", **options):
    store = PixelStore(table or blobs(), (32, 32), cache=cache)
    options = {"batch_size": 5, "targets": pair, "shuffle": True, "seed": 3} | options
    return Batches(store, **options)


STRONG = Augmentation(flip_horizontal=0.5, rotation_deg=20, shift=0.1, gain=0.2)


def test_a_cache_without_room_is_said_once_with_the_way_out():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(DataError, match="cannot be written.*set cache=none") as caught:
            PixelStore(blobs(), (32, 32), cache="disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(caught.value.problems) <= 2  # cut off, and not begun


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_caches_hold_the_same_pixels(cache, tmp_path):
    table = read(write_folder(blobs(), tmp_path))
    indices = np.array([7, 0, 7, 19])
    expected = PixelStore(table, (24, 40), cache="memory").read(indices)
    found = PixelStore(table, (24, 40), cache=cache).read(indices)
    assert expected[0].shape == (4, 24, 40, 1) and expected[1].any()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_cache_is_chosen_by_size(monkeypatch):
    monkeypatch.setattr(store_module, "free_memory", lambda: 1000)
    assert choose_cache(250) == "memory"
    assert choose_cache(251) == "disk"
    assert choose_cache(1 << 62) == "none"


def test_every_bad_file_is_named_before_anything_is_trained(tmp_path):
    table = read(write_folder(blobs(), tmp_path))
    bad = [table.samples[i].image for i in (2, 5, 11)]
    for path in bad:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError) as caught:
        PixelStore(table, (32, 32))
    assert len(caught.value.problems) == 3
    for path in bad:
        assert path.rsplit("/", 1)[1] in str(caught.value)


def test_each_epoch_holds_every_sample_once_in_an_order_of_its_own():
    batches = make_batches(targets=lambda arrays: arrays["index"])
    epochs = [np.concatenate([batches.batch(e, s) for s in range(len(batches))]) for e in (0, 1)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(24))
    assert not np.array_equal(*epochs)


def test_a_batch_depends_on_seed_epoch_and_step_alone():
    first, second = make_batches(augmentation=STRONG), make_batches(augmentation=STRONG)
    first.batch(0, 1)
    np.testing.assert_array_equal(first.batch(4, 2)[0], second.batch(4, 2)[0])
    other = make_batches(augmentation=STRONG, seed=4)
    assert not np.array_equal(first.batch(4, 2)[0], other.batch(4, 2)[0])


def test_subset_and_foreign_masks():
    foreign = np.zeros((24, 32, 32, 1), np.uint8)
    foreign[6] = 255
    batches = make_batches(indices=[4, 6, 9], masks=foreign, shuffle=False)
    _, truth = batches.batch(0, 0)
    assert len(batches) == 1
    np.testing.assert_array_equal(truth["mask"].mean((1, 2, 3)), [0, 1, 0])


def test_a_sampler_replaces_the_shuffle():
    batches = make_batches(
        order=lambda epoch, rng: np.full(10, epoch), targets=lambda arrays: arrays["index"]
    )
    np.testing.assert_array_equal(batches.batch(2, 0), [2] * 5)


def test_pipeline_yields_the_batches_in_order():
    batches = make_batches(augmentation=STRONG)
    stream = dataset(batches, first_epoch=1, num_epochs=2)
    expected = [batches.batch(epoch, step) for epoch in (1, 2) for step in range(len(batches))]
    found = list(stream.as_numpy_iterator())
    assert len(found) == len(expected) == 10
    for (images, truth), (same_images, same_truth) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(images, same_images)
        for name in truth:
            np.testing.assert_array_equal(truth[name], same_truth[name])


def test_keras_walks_the_epochs_of_plain_batches():
    batches = make_batches(targets=lambda arrays: arrays["index"])
    first = [batches[i] for i in range(len(batches))]
    batches.on_epoch_end()
    second = [batches[i] for i in range(len(batches))]
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


@pytest.mark.parametrize("masks", [True, False])
def test_pack_round_trip(tmp_path, masks):
    region = (0.5, 0.4, 0.3, 0.2) if masks else None
    table = dataclasses.replace(blobs(masks=masks), notes=("a note",), aligned=masks, region=region)
    some = dataclasses.replace(table.samples[3], mask=None, split="test")
    table = dataclasses.replace(table, samples=(*table.samples[:3], some, *table.samples[4:]))
    write_pack(tmp_path / "data.npz", table, (32, 32))
    found = read(tmp_path / "data.npz")
    fields = ("name", "class_names", "group_unit", "mask_source", "target", "notes")
    for field in (*fields, "aligned", "region"):
        assert getattr(found, field) == getattr(table, field)
    for one, other in zip(found.samples, table.samples, strict=True):
        for field in ("name", "label", "group", "split"):
            assert getattr(one, field) == getattr(other, field)
        np.testing.assert_array_equal(one.image, other.image)
        assert (one.mask is None) == (other.mask is None)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_pack_is_written_as_a_whole_with_the_usual_permissions(tmp_path, monkeypatch):
    write_pack(tmp_path / "data.npz", blobs(), (32, 32))
    (tmp_path / "plain").touch()
    assert (tmp_path / "data.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode
    before = (tmp_path / "data.npz").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DataError, match="data.npz: cannot be written .disk full."):
        write_pack(tmp_path / "data.npz", blobs(seed=1), (32, 32))
    assert (tmp_path / "data.npz").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["data.npz", "plain"]


def test_a_pack_that_could_not_be_read_is_not_written(tmp_path):
    path, table = tmp_path / "data.npz", blobs()
    names = {"name": "a\nb", "group": "c\x1b[2J", "split": "\udcff"}
    odd = dataclasses.replace(table.samples[0], **names)
    long = dataclasses.replace(table, class_names=("b", "a" * 256))
    long = dataclasses.replace(long, samples=(odd, *table.samples[1:]))
    with pytest.raises(DataError) as caught:
        write_pack(path, long, (32, 32))
    assert len(str(caught.value).splitlines()) == 4 and "256 characters" in str(caught.value)
    nodules = [dataclasses.replace(s, nodule="absent.png") for s in table.samples[:2]]
    with pytest.raises(DataError, match="absent.png"):
        write_pack(path, dataclasses.replace(table, samples=tuple(nodules)), (32, 32))
    assert not path.exists()


def test_damaged_packs_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    write_pack(path, blobs(), (32, 32))
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match="data.npz"):
            read_pack(path)
    write_pack(path, dataclasses.replace(blobs(), region=(0.5, 0.5, np.inf, 0.1)), (32, 32))
    with pytest.raises(DataError, match="`region` has"):
        read_pack(path)
    write_pack(path, blobs(), (32, 32))
    with np.load(path) as arrays:
        arrays = dict(arrays)
    for name in ("a\x1b[2J", "a" * 256):
        np.savez(path, **arrays | {"class_names": ["b", name]})
        with pytest.raises(DataError, match="control characters|256 characters"):
            read_pack(path)
    objects = np.array([Sample], dtype=object)
    np.savez(path, image=objects, version=1)
    with pytest.raises(DataError, match="data.npz"):
        read_pack(path)
