"""Whether a LiteRT file holds a network like ours and nothing that could do more."""

import math

import numpy as np

try:
    from ai_edge_litert import schema_py_generated as schema
except ImportError:
    from tensorflow.lite.python import schema_py_generated as schema

IDENTIFIER = b"TFL3"
MAX_BYTES = 2**31 - 1  # what the format can address
MAX_TENSOR_BYTES = 2**31
OPERATORS = frozenset(
    """ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CAST CONCATENATION CONV_2D
    DEPTHWISE_CONV_2D DEQUANTIZE DIV EQUAL EXP EXPAND_DIMS FLOOR FULLY_CONNECTED GREATER
    GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR
    LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD
    PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SHAPE SLICE SOFTMAX SPLIT SPLIT_V SQRT
    SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE
    TRANSPOSE_CONV UNPACK""".split()
)
NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}
TYPES = {
    getattr(schema.TensorType, name): np.dtype(name.lower())
    for name in ("FLOAT32", "FLOAT16", "INT32", "INT64", "INT8", "UINT8")
} | {schema.TensorType.BOOL: np.dtype(bool)}


def read_structure(content):
    """Reads a LiteRT file with every offset checked, and refuses what is no network.

    Python's reader of the format raises an error for whatever lies outside the file, where
    the runtime's own would read it.

    Args:
        content: bytes of the file.

    Returns:
        `schema.ModelT` of one graph, whose tensors have types, shapes and bytes that fit,
        with operations of `OPERATORS` alone.

    Raises:
        ValueError: with the reason why it is refused.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError("it does not begin as a LiteRT file")
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
    except Exception as error:  # whatever lies outside, or makes no sense
        raise ValueError("it is cut off or damaged") from error
    if len(model.subgraphs or ()) != 1 or len(model.signatureDefs or ()) != 1:
        raise ValueError("it does not hold one network with one signature")
    faults = (*_faults_of_operators(model), *_faults_of_tensors(model), *_faults_of_names(model))
    for fault in faults:
        raise ValueError(fault)
    return model


def _faults_of_operators(model):
    (graph,) = model.subgraphs
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes or ()]
    for code, entry in zip(codes, model.operatorCodes or (), strict=True):
        name = NAMES.get(code, str(code))
        if name not in OPERATORS or entry.customCode:
            yield f"it has the operation {name}, which no network of ours has"
    for operator in graph.operators or ():
        if not 0 <= operator.opcodeIndex < len(codes):
            yield "an operation of it has no kind"
        if operator.customOptions is not None or operator.largeCustomOptionsSize:
            yield "an operation of it brings options of its own"
        places = [*_ints(operator.inputs), *_ints(operator.outputs), *_ints(operator.intermediates)]
        if not all(-1 <= i < len(graph.tensors or ()) for i in places):
            yield "an operation of it works on a tensor that is not there"
    if not all(
        0 <= i < len(graph.tensors or ()) for i in (*_ints(graph.inputs), *_ints(graph.outputs))
    ):
        yield "an input or output of it is not there"


def _faults_of_tensors(model):
    (graph,) = model.subgraphs
    buffers = model.buffers or ()
    if any(b.offset or b.size for b in buffers):
        yield "it refers to bytes outside of itself"
    for tensor in graph.tensors or ():
        shape = _ints(tensor.shape)
        if tensor.type not in TYPES or tensor.sparsity or tensor.variantTensors:
            yield "a tensor of it is of a kind that no network of ours has"
        elif any(side < 0 for side in shape):
            yield "a tensor of it has a side below 0"
        elif tensor.externalBuffer or not 0 <= tensor.buffer < len(buffers):
            yield "the content of a tensor of it is not there"
        else:
            wanted = math.prod(shape) * TYPES[tensor.type].itemsize
            data = buffers[tensor.buffer].data
            if wanted > MAX_TENSOR_BYTES:
                yield f"a tensor of it would take {wanted / 1e6:,.0f} MB"
            elif tensor.buffer and data is not None and len(data) not in (0, wanted):
                yield f"a tensor of it has {len(data)} bytes instead of {wanted}"


def _faults_of_names(model):
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    for maps, known in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
        if not maps or any(m.tensorIndex not in _ints(known) or not m.name for m in maps):
            yield "its signature names a tensor that is no input or output"
    if signature.subgraphIndex:
        yield "its signature is of another network"


def _ints(values):
    return () if values is None else tuple(int(value) for value in values)
