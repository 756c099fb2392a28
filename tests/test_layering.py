"""Who may import whom; the README says it in words."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "thyroid_keras"
LOW = {
    "answers",
    "folding",
    "layers",
    "losses",
    "metrics",
    "replacing",
    "runs",
    "spelling",
    "weight_files",
    "_quiet",
    "_version",
}
LEARNING = {"archs", "data", "explain", "loading", "recipes", "training"}
MAY_IMPORT = {
    **{part: set() for part in LOW},
    "folding": {"layers"},
    "runs": {"replacing", "_version"},
    "archs": {"layers", "loading", "spelling", "weight_files"},  # to start from one's own
    "data": {"replacing"},
    "loading": set(),
    "training": {"losses", "metrics", "replacing", "runs", "spelling"},
    "explain": {"answers", "archs", "layers", "training"},
    "convert": {"archs", "layers", "runs", "weight_files"},
    "recipes": {"archs", "data", "layers", "losses", "training"},
    "prediction": {"answers", "data", "explain", "metrics"},
    "ensemble": {"answers"},
    "report": {"metrics", "runs", "spelling"},
    "narration": {"metrics", "recipes", "report", "training"},
    "places": {"data", "explain", "metrics"},
    "nodules": {"data", "explain", "metrics", "prediction"},
    "calcifications": {"data", "metrics", "report", "runs"},
    "examples": {"answers", "data", "explain", "metrics", "report"},
    "evaluation": LOW
    | LEARNING
    | {"calcifications", "examples", "nodules", "places", "prediction", "report"},
    "inspection": LOW | LEARNING | {"borders", "calcifications", "prediction"},
    "explanation": LOW | LEARNING | {"inspection", "viewing"},
    "viewing": LOW | LEARNING | {"inspection"},
    "pooling": LOW | LEARNING | {"ensemble", "evaluation", "nodules", "places", "report"},
    "cross_validation": LOW
    | LEARNING
    | {"borders", "evaluation", "experiment", "narration", "other_data", "pooling", "preparation"}
    | {"nodules", "signals"},
    "comparison": {"data", "metrics", "narration", "report", "runs", "training"},
    "signals": {"training"},
    "borders": {"data", "folding", "loading", "metrics", "report", "runs"},
    "shortcuts": {"data", "metrics", "spelling"},
    "preparation": LOW | LEARNING | {"borders"},
    "other_data": {"data", "preparation", "runs"},
    "data_report": {"borders", "data", "runs", "shortcuts", "spelling", "training"},
    "run_evaluation": {"borders", "data", "evaluation", "first_look", "global_map", "shortcuts"},
    "first_look": {"data", "evaluation", "layers", "metrics", "prediction"},
    "global_map": {"data", "metrics", "recipes", "report"},
    "experiment": LOW
    | LEARNING
    | {"borders", "narration", "other_data", "preparation", "recording", "run_evaluation"}
    | {"signals"},
    "recording": {"recipes", "runs", "training"},
    "benchmarking": LOW | LEARNING | {"preparation"},
    "client": set(),
    "serving": {"answers", "archs", "borders", "client", "data", "explain", "folding", "layers"}
    | {"loading", "metrics", "prediction", "runs"},
    "litert": LOW | LEARNING | {"inspection", "prediction", "preparation", "serving", "transfer"},
    "tables": LOW
    | LEARNING
    | {"benchmarking", "examples", "pooling", "preparation", "report", "signals", "transfer"},
    "transfer": LOW
    | LEARNING
    | {"borders", "evaluation", "inspection", "narration", "preparation", "report"},
    "cli": LOW | LEARNING | {"preparation"},
}
COMMANDS = {
    "bench",
    "bottleneck",
    "check_data",
    "train",
    "crossval",
    "compare",
    "evaluate",
    "predict",
    "explain/__main__",
    "borders/__main__",
    "export",
    "convert/__main__",
    "table",
    "__main__",
    "__init__",
}
ONLY_IN = {
    "tensorflow": {"_quiet", "layers/batch_norm", "layers/joined_conv", "data/pipeline",
                   "training/backend", "training/adam", "training/sgd", "benchmarking/profile",
                   "litert/convert", "litert/interpreter", "litert/structure",
                   "serving/borders/__init__", "serving/borders/filling",
                   "serving/borders/network", "serving/borders/overlay",
                   "serving/borders/parts", "serving/borders/sector", "serving/decode",
                   "serving/maps", "serving/octets", "serving/resize",
                   "serving/server_files", "serving/signatures", "serving/upright"},
    "jax": {"training/backend", "training/distribution"},
    "pydicom": {"data/dicom"},
    "sklearn": {"metrics/classification", "data/dealing", "shortcuts/judging",
                "transfer/svm", "recipes/pixels"},
    "skops": {"transfer/svm"},
    "matplotlib": {"explain/overlay", "report/gallery", "report/learning", "report/plots",
                   "report/style"},
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path):
    module = str(path.relative_to(ROOT).with_suffix(""))
    part = module.split("/")[0]
    for name in imports(path):
        top, *rest = name.split(".")
        assert module in ONLY_IN.get(top, {module}), f"{module} imports {name}"
        if top == "thyroid_keras" and module not in COMMANDS:
            assert rest[0] in MAY_IMPORT[part] | {part}, f"{module} imports {name}"


def test_no_file_outgrows_one_sitting():
    long = [p.name for p in FILES if len(p.read_text(encoding="utf-8").splitlines()) > 250]
    assert not long
