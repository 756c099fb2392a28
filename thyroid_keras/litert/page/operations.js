// All other operations of LiteRT that the networks are made of, by name: each takes its inputs,
// its options and the shape of what it puts out. Truth values are 0 and 1.
"use strict";

const sizeOf = (shape) => shape.reduce((product, side) => product * side, 1);
const sigmoid = (v) => 1 / (1 + Math.exp(-v));
const ACTIVATIONS = {
  RELU: (v) => Math.max(v, 0),
  RELU6: (v) => Math.min(Math.max(v, 0), 6),
  RELU_N1_TO_1: (v) => Math.min(Math.max(v, -1), 1),
  TANH: Math.tanh,
};

const unary = (f) => ([x]) => ({ shape: x.shape, data: x.data.map((v) => f(v)) });

// how far apart neighbours along each axis of `shape` lie in x, 0 where x is repeated
function steps(x, shape) {
  const found = new Array(shape.length).fill(0);
  let step = 1;
  for (let i = 1; i <= x.shape.length; i++) {
    const side = x.shape[x.shape.length - i];
    if (side > 1) found[shape.length - i] = step;
    step *= side;
  }
  return found;
}

// calls `visit(output, place in each of several)` for each place of `shape`, in its order
function walkAll(shape, strides, starts, visit) {
  const index = new Array(shape.length).fill(0), at = [...starts];
  const total = sizeOf(shape);
  for (let output = 0; output < total; output++) {
    visit(output, at);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++;
      for (let i = 0; i < at.length; i++) at[i] += strides[i][axis];
      if (index[axis] < shape[axis]) break;
      for (let i = 0; i < at.length; i++) at[i] -= strides[i][axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

const elementwise = (f) => (inputs, how, shape) => {
  const data = new Float32Array(sizeOf(shape));
  const values = inputs.map((x) => x.data), [a, b, c] = values;
  if (inputs.length === 2 && a.length === data.length) {
    // a value per channel, and whatever else repeats as a whole
    const first = inputs[1].shape.findIndex((side) => side > 1);
    const narrow = first < 0 ? [] : inputs[1].shape.slice(first);
    if (narrow.every((side, i) => side === shape[shape.length - narrow.length + i])) {
      for (let i = 0; i < data.length; i++) data[i] = f(a[i], b[i % b.length]);
      return { shape, data };
    }
  }
  const strides = inputs.map((x) => steps(x, shape));
  walkAll(shape, strides, inputs.map(() => 0), (i, at) => {
    data[i] = f(a[at[0]], b?.[at[1]], c?.[at[2]]);
  });
  return { shape, data };
};

// `shape` with stride per axis and start within x
function view(x, strides, start, shape) {
  const data = new Float32Array(sizeOf(shape));
  walkAll(shape, [strides], [start], (i, [at]) => { data[i] = x.data[at]; });
  return { shape, data };
}

const numbers = (x) => Array.from(x.data);
const axesOf = (x, axes) => numbers(axes).map((axis) => (axis + x.shape.length) % x.shape.length);

const reduction = (first, add, finish = (v) => v) => ([x, axes], how, shape) => {
  const gone = axesOf(x, axes), kept = x.shape.map((side, i) => (gone.includes(i) ? 1 : side));
  const sums = new Float64Array(sizeOf(shape)).fill(first);
  const to = steps({ shape: kept }, x.shape);
  walkAll(x.shape, [to], [0], (i, [at]) => { sums[at] = add(sums[at], x.data[i]); });
  const count = x.data.length / sums.length;
  return { shape, data: Float32Array.from(sums, (v) => finish(v, count)) };
};

const reshape = ([x], how, shape) => ({ shape, data: x.data });

function softmax([x], { beta }) {
  const last = x.shape.at(-1), data = new Float32Array(x.data.length);
  for (let at = 0; at < data.length; at += last) {
    const row = x.data.subarray(at, at + last), highest = row.reduce((a, b) => Math.max(a, b));
    const powers = Array.from(row, (v) => Math.exp(beta * (v - highest)));
    const sum = powers.reduce((a, b) => a + b);
    data.set(powers.map((v) => v / sum), at);
  }
  return { shape: x.shape, data };
}

function fullyConnected([x, kernel, bias], how, shape) {
  const [columns, depth] = kernel.shape, rows = x.data.length / depth;
  const data = new Float32Array(rows * columns);
  product(x.data, kernel.data, bias?.data, data, rows, depth, columns);
  return { shape, data };
}

function batchMatmul([a, b], { adjX, adjY }, shape) {
  const [rows, columns] = shape.slice(-2), outer = shape.slice(0, -2), rank = outer.length;
  const depth = a.shape.at(adjX ? -2 : -1), data = new Float32Array(sizeOf(shape));
  const strides = [a, b].map((x) => steps({ shape: x.shape }, [...outer, 2, 2]).slice(0, rank));
  walkAll(outer, strides, [0, 0], (i, [atA, atB]) => {
    let left = a.data.subarray(atA, atA + rows * depth);
    let right = b.data.subarray(atB, atB + columns * depth);
    if (adjX) left = swapped(left, depth, rows, 1);
    if (!adjY) right = swapped(right, depth, columns, 1);
    product(left, right, null, data.subarray(i * rows * columns), rows, depth, columns);
  });
  return { shape, data };
}

function concatenate(inputs, { axis }, shape) {
  const at = (axis + shape.length) % shape.length, before = sizeOf(shape.slice(0, at));
  const data = new Float32Array(sizeOf(shape)), row = data.length / before;
  let start = 0;
  for (const x of inputs) {
    const length = x.data.length / before;
    for (let i = 0; i < before; i++) {
      data.set(x.data.subarray(i * length, (i + 1) * length), i * row + start);
    }
    start += length;
  }
  return { shape, data };
}

function pad([x, margins, fill], how, shape) {
  const data = new Float32Array(sizeOf(shape)).fill(fill ? fill.data[0] : 0);
  const to = steps({ shape }, shape).map((step, i) => (x.shape[i] > 1 ? step : 0));
  const all = steps({ shape }, shape);
  const start = all.reduce((sum, step, i) => sum + step * margins.data[2 * i], 0);
  walkAll(x.shape, [to], [start], (i, [at]) => { data[at] = x.data[i]; });
  return { shape, data };
}

// what stands in x at `places[axis][index]` of each axis
function gather(x, places, shape) {
  const data = new Float32Array(sizeOf(shape)), own = steps(x, x.shape);
  const index = new Array(shape.length).fill(0);
  for (let output = 0; output < data.length; output++) {
    data[output] = x.data[own.reduce((at, step, i) => at + step * places[i][index[i]], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) {
      index[axis] = 0;
    }
  }
  return { shape, data };
}

function tile([x], how, shape) {
  const along = (side, axis) => Array.from({ length: side }, (_, i) => i % x.shape[axis]);
  return gather(x, shape.map(along), shape);
}

function mirrorPad([x, margins], { mode }, shape) {
  const edge = mode ? 1 : 0; // whether the pixel at the border is repeated
  const along = (side, axis) => Array.from({ length: side }, (_, i) => {
    const place = i - margins.data[2 * axis], last = x.shape[axis] - 1;
    return place < 0 ? -place - edge : place > last ? 2 * last + edge - place : place;
  });
  return gather(x, shape.map(along), shape);
}

function transpose([x, order], how, shape) {
  const own = steps(x, x.shape);
  return view(x, numbers(order).map((axis) => own[axis]), 0, shape);
}

function slice([x, begin], how, shape) {
  const own = steps(x, x.shape);
  const start = own.reduce((sum, step, i) => sum + step * begin.data[i], 0);
  return view(x, own, start, shape);
}

function stridedSlice([x, begin, end, stride], how, shape) {
  const own = steps(x, x.shape), kept = [];
  let start = 0;
  for (let i = 0; i < x.shape.length; i++) {
    const given = i < begin.data.length, free = !given || (how.beginMask >> i) & 1;
    const by = given ? stride.data[i] : 1, first = free ? (by > 0 ? 0 : -1) : begin.data[i];
    start += own[i] * (first < 0 ? first + x.shape[i] : first);
    if (!given || !((how.shrinkAxisMask >> i) & 1)) kept.push(own[i] * by);
  }
  return view(x, kept, start, shape);
}

function argMax([x, axis], how, shape) {
  const [at] = axesOf(x, axis), after = sizeOf(x.shape.slice(at + 1)), side = x.shape[at];
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    const start = Math.floor(i / after) * side * after + (i % after);
    for (let k = 1; k < side; k++) {
      if (x.data[start + k * after] > x.data[start + data[i] * after]) data[i] = k;
    }
  }
  return { shape, data };
}

function oneHot([indices, depth, on, off], { axis }, shape) {
  const data = new Float32Array(sizeOf(shape)).fill(off.data[0]), [count] = depth.data;
  indices.data.forEach((k, i) => { if (k >= 0 && k < count) data[i * count + k] = on.data[0]; });
  return { shape, data };
}

const OPERATIONS = {
  CONV_2D: conv2d,
  DEPTHWISE_CONV_2D: depthwiseConv2d,
  TRANSPOSE_CONV: transposeConv,
  AVERAGE_POOL_2D: (inputs, how, shape) => pool2d(inputs, how, shape, true),
  MAX_POOL_2D: (inputs, how, shape) => pool2d(inputs, how, shape, false),
  RESIZE_BILINEAR: resizeBilinear,
  FULLY_CONNECTED: fullyConnected,
  BATCH_MATMUL: batchMatmul,
  SOFTMAX: softmax,
  CONCATENATION: concatenate,
  PACK: concatenate,
  PAD: pad,
  PADV2: pad,
  MIRROR_PAD: mirrorPad,
  TILE: tile,
  TRANSPOSE: transpose,
  SLICE: slice,
  STRIDED_SLICE: stridedSlice,
  ARG_MAX: argMax,
  ONE_HOT: oneHot,
  RESHAPE: reshape,
  SQUEEZE: reshape,
  EXPAND_DIMS: reshape,
  CAST: reshape,
  BROADCAST_TO: ([x], how, shape) => view(x, steps(x, shape), 0, shape),
  MEAN: reduction(0, (sum, v) => sum + v, (sum, count) => sum / count),
  SUM: reduction(0, (sum, v) => sum + v),
  REDUCE_MAX: reduction(-Infinity, Math.max),
  REDUCE_MIN: reduction(Infinity, Math.min),
  ADD: elementwise((a, b) => a + b),
  SUB: elementwise((a, b) => a - b),
  MUL: elementwise((a, b) => a * b),
  DIV: elementwise((a, b) => a / b),
  MAXIMUM: elementwise(Math.max),
  MINIMUM: elementwise(Math.min),
  SQUARED_DIFFERENCE: elementwise((a, b) => (a - b) * (a - b)),
  LESS: elementwise((a, b) => +(a < b)),
  LESS_EQUAL: elementwise((a, b) => +(a <= b)),
  GREATER: elementwise((a, b) => +(a > b)),
  GREATER_EQUAL: elementwise((a, b) => +(a >= b)),
  EQUAL: elementwise((a, b) => +(a === b)),
  SELECT: elementwise((which, a, b) => (which ? a : b)),
  SELECT_V2: elementwise((which, a, b) => (which ? a : b)),
  LOGISTIC: unary(sigmoid),
  RELU: unary(ACTIVATIONS.RELU),
  RELU6: unary(ACTIVATIONS.RELU6),
  TANH: unary(Math.tanh),
  EXP: unary(Math.exp),
  NEG: unary((v) => -v),
  ABS: unary(Math.abs),
  SQRT: unary(Math.sqrt),
  RSQRT: unary((v) => 1 / Math.sqrt(v)),
  SQUARE: unary((v) => v * v),
};
