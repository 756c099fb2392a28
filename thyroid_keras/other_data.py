"""Other data for the model of a run: which pictures may be judged, and where that is kept."""

import itertools
import os

from thyroid_keras.data.audit import find_copies_of
from thyroid_keras.data.copies import CHOSEN_BY_COPIES
from thyroid_keras.data.samples import DataError
from thyroid_keras.preparation import audit_data, targets_of
from thyroid_keras.runs import Run


def evaluation_folder(run, data):
    """Returns the folder below a run for other data: a path's own, or a new one.

    Args:
        run: `Run`.
        data: path of the other data.
    """
    for number in itertools.count(1):
        name = f"evaluation-{os.path.basename(os.path.abspath(data))}"
        other = Run(run.folder / (name if number == 1 else f"{name}-{number}"))
        if not other.config.exists():
            return other.folder
        if other.read_config()["data"]["source"].get("path") == os.path.realpath(data):
            return other.folder


def other_table(data, config, learned, recipe, seen=()):
    """Reads another data set with the run's classes.

    Args:
        data: path of it.
        config: `config.json` of the run.
        learned: dict from the hash of each picture that the model learned from, or by
            which something was chosen, to its name.
        recipe: `Recipe` of the run.
        seen: sequence of `Sample`, the pictures themselves, copies of which are sought too;
            not among aligned ones, which are all alike.

    Returns:
        `SampleTable`.

    Raises:
        DataError: if its classes are others, or the model learned from a picture of it.
    """
    data = os.fspath(data)
    target = config["data"]["target"] if targets_of(data) else None
    found = audit_data({"path": data, "format": None, "target": target}, recipe, split=False)
    table, problems = found.table, []
    known = tuple(config["data"]["class_names"])
    if table.class_names != known:
        problems.append(
            f"{data}: classes {table.class_names} instead of {known} that the model knows; name "
            "the classes alike"
        )
    problems += [
        f"{data}: {name} is the picture that the model learned from as {learned[value]}; leave "
        "it out"
        for name, value in found.hashes.items()
        if value in learned
    ]
    if seen and not table.aligned:
        problems += [
            f"{data}: {name} is a copy, stored again, of {other} that the model learned from; "
            "leave it out"
            for name, other in find_copies_of(seen, table).items()
            if found.hashes[name] not in learned
        ]
    if problems:
        raise DataError(problems)
    return found.joined_table()


def describe_other(config, data, table):
    """Returns the `config.json` of a run's model judged on other data.

    Args:
        config: of the run.
        data: path of the other data.
        table: its `SampleTable`.
    """
    described = {"name": table.name, "mask_source": table.mask_source, "notes": table.notes}
    described["excluded"] = table.excluded
    described |= {"group_unit": table.group_unit, "source": {"path": os.path.realpath(data)}}
    if (config["data"].get("source") or {}).get("augment_before_split"):
        described["source"]["augment_before_split"] = True
        described["notes"] = (*table.notes, CHOSEN_BY_COPIES)
    return config | {"data": config["data"] | described}
