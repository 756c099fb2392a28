"""A LiteRT file as the program that the page's own runtime reads."""

import math

import numpy as np

from thyroid_keras.litert.structure import NAMES, TYPES, read_structure, schema

ACTIVATIONS = {
    value: name
    for name, value in vars(schema.ActivationFunctionType).items()
    if isinstance(value, int)
}


def write_program(content):
    """Turns a float32 LiteRT file into a JSON object and the bytes of its weights.

    Args:
        content: bytes of the file.

    Returns:
        `(program, weights)`: a dict of `input`, the number of a tensor; `outputs`, such by
        name; `shapes` of all tensors; `constants`, dict from number to start and length
        within `weights`, float32 in little-endian order; and `steps`, the operations.
    """
    model = read_structure(content)
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    kinds = [NAMES[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
    constants, values, start = {}, [], 0
    for number, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is None or not len(data):
            continue
        found = np.frombuffer(bytes(data), TYPES[tensor.type]).astype("<f4")
        constants[number] = (start, len(found))
        values.append(found.tobytes())
        start += len(found)
    program = {
        "input": signature.inputs[0].tensorIndex,
        "outputs": {m.name.decode(): m.tensorIndex for m in signature.outputs},
        "shapes": [_shape(tensor) for tensor in graph.tensors],
        "constants": constants,
        "steps": [_step(operator, kinds) for operator in graph.operators],
    }
    return program, b"".join(values)


def _shape(tensor):
    return [] if tensor.shape is None else [int(side) for side in tensor.shape]


def _step(operator, kinds):
    options = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    options = {k: v for k, v in options.items() if isinstance(v, (bool, int, float))}
    activation = ACTIVATIONS[options.pop("fusedActivationFunction", 0)]
    return {
        "operation": kinds[operator.opcodeIndex],
        "inputs": [int(i) for i in operator.inputs if i >= 0],
        "output": int(operator.outputs[0]),
        "activation": activation,
        **{k: v for k, v in options.items() if math.isfinite(v)},
    }
