// The operations of LiteRT that take the time. A tensor is {shape, data}; features are
// (1, height, width, channels), kernels (outputs, height, width, inputs).
"use strict";

// [places, values added before the first] of a window that walks along a side
function walk(size, kernel, stride, dilation, same) {
  const reach = (kernel - 1) * dilation + 1;
  if (!same) return [Math.ceil((size - reach + 1) / stride), 0];
  const places = Math.ceil(size / stride);
  return [places, Math.max(0, (places - 1) * stride + reach - size) >> 1];
}

// calls `visit(place, index)` for each place of x under each window of a row of outputs
function windowRow(x, [kh, kw], how, row, places, top, left, visit) {
  const [, height, width] = x.shape;
  const { strideH, strideW, dilationHFactor: dilationH = 1, dilationWFactor: dilationW = 1 } = how;
  for (let column = 0; column < places; column++) {
    for (let i = 0; i < kh; i++) {
      const y = row * strideH - top + i * dilationH;
      if (y < 0 || y >= height) continue;
      for (let j = 0; j < kw; j++) {
        const at = column * strideW - left + j * dilationW;
        if (at >= 0 && at < width) visit(column, i * kw + j, y * width + at);
      }
    }
  }
}

// [rows, added above, columns, added to the left] of all windows
function windows(x, [kh, kw], how) {
  const { strideH, strideW, dilationHFactor = 1, dilationWFactor = 1 } = how;
  const same = how.padding === 0, [, height, width] = x.shape;
  return [...walk(height, kh, strideH, dilationHFactor, same),
    ...walk(width, kw, strideW, dilationWFactor, same)];
}

function conv2d([x, kernel, bias], how) {
  const [outputs, ...size] = kernel.shape, depth = kernel.data.length / outputs;
  const [height, top, width, left] = windows(x, size, how);
  const y = new Float32Array(height * width * outputs), channels = x.shape[3];
  const asItIs = size[0] * size[1] === 1 && how.strideH * how.strideW === 1;
  const patches = asItIs ? null : new Float32Array(width * depth);
  for (let row = 0; row < height; row++) {
    if (patches) {
      patches.fill(0);
      windowRow(x, size, how, row, width, top, left, (column, tap, place) => {
        const start = place * channels;
        const from = x.data.subarray(start, start + channels);
        patches.set(from, column * depth + tap * channels);
      });
    }
    const rows = patches ?? x.data.subarray(row * width * depth, (row + 1) * width * depth);
    product(rows, kernel.data, bias?.data, y.subarray(row * width * outputs), width, depth, outputs);
  }
  return { shape: [1, height, width, outputs], data: y };
}

// y (rows, columns) = a (rows, depth) times the transpose of b (columns, depth), plus bias;
// four rows and two columns at a time keep their sums in registers
function product(a, b, bias, y, rows, depth, columns) {
  for (let r = 0; r < rows; r += 4) {
    const a0 = r * depth, a1 = Math.min(r + 1, rows - 1) * depth;
    const a2 = Math.min(r + 2, rows - 1) * depth, a3 = Math.min(r + 3, rows - 1) * depth;
    for (let c = 0; c < columns; c += 2) {
      const b0 = c * depth, b1 = Math.min(c + 1, columns - 1) * depth;
      let s00 = 0, s10 = 0, s20 = 0, s30 = 0, s01 = 0, s11 = 0, s21 = 0, s31 = 0;
      for (let k = 0; k < depth; k++) {
        const p = b[b0 + k], q = b[b1 + k];
        const v0 = a[a0 + k], v1 = a[a1 + k], v2 = a[a2 + k], v3 = a[a3 + k];
        s00 += v0 * p; s01 += v0 * q;
        s10 += v1 * p; s11 += v1 * q;
        s20 += v2 * p; s21 += v2 * q;
        s30 += v3 * p; s31 += v3 * q;
      }
      const sums = [s00, s01, s10, s11, s20, s21, s30, s31];
      for (let i = 0; i < 8; i++) {
        const row = r + (i >> 1), column = c + (i & 1);
        if (row < rows && column < columns) {
          y[row * columns + column] = sums[i] + (bias ? bias[column] : 0);
        }
      }
    }
  }
}

function depthwiseConv2d([x, kernel, bias], how) {
  const [, kh, kw, outputs] = kernel.shape, channels = x.shape[3], times = outputs / channels;
  const [height, top, width, left] = windows(x, [kh, kw], how);
  const y = new Float32Array(height * width * outputs);
  for (let row = 0; row < height; row++) {
    const sums = new Float64Array(width * outputs);
    windowRow(x, [kh, kw], how, row, width, top, left, (column, tap, place) => {
      const to = column * outputs, weights = tap * outputs, from = place * channels;
      if (times === 1) {
        for (let c = 0; c < outputs; c++) {
          sums[to + c] += x.data[from + c] * kernel.data[weights + c];
        }
      } else {
        for (let o = 0; o < outputs; o++) {
          sums[to + o] += x.data[from + Math.floor(o / times)] * kernel.data[weights + o];
        }
      }
    });
    for (let i = 0; i < sums.length; i++) {
      y[row * width * outputs + i] = sums[i] + (bias ? bias.data[i % outputs] : 0);
    }
  }
  return { shape: [1, height, width, outputs], data: y };
}

function transposeConv([, kernel, x, bias], how, shape) {
  const [outputs, kh, kw] = kernel.shape, [, height, width, channels] = x.shape;
  const y = new Float32Array(shape[1] * shape[2] * outputs);
  if (bias) for (let i = 0; i < y.length; i++) y[i] = bias.data[i % outputs];
  // the places that a convolution of y would look at for x
  const [, top, , left] = windows({ shape }, [kh, kw], how);
  const taps = new Float32Array(kh * kw * outputs * width);
  const byTap = swapped(kernel.data, outputs, kh * kw, channels);
  for (let row = 0; row < height; row++) {
    const line = x.data.subarray(row * width * channels, (row + 1) * width * channels);
    product(line, byTap, null, taps, width, channels, kh * kw * outputs);
    windowRow({ shape }, [kh, kw], how, row, width, top, left, (column, tap, place) => {
      const from = (column * kh * kw + tap) * outputs, to = place * outputs;
      for (let o = 0; o < outputs; o++) y[to + o] += taps[from + o];
    });
  }
  return { shape, data: y };
}

// (a, b, c) to (b, a, c)
function swapped(values, a, b, c) {
  const found = new Float32Array(values.length);
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      found.set(values.subarray((i * b + j) * c, (i * b + j + 1) * c), (j * a + i) * c);
    }
  }
  return found;
}

function pool2d([x], how, shape, isMean) {
  const channels = x.shape[3], size = [how.filterHeight, how.filterWidth];
  const [height, top, width, left] = windows(x, size, how);
  const y = new Float32Array(height * width * channels).fill(isMean ? 0 : -Infinity);
  for (let row = 0; row < height; row++) {
    const counts = new Float64Array(width);
    windowRow(x, size, how, row, width, top, left, (column, tap, place) => {
      counts[column]++;
      const to = (row * width + column) * channels, from = place * channels;
      for (let c = 0; c < channels; c++) {
        const value = x.data[from + c];
        y[to + c] = isMean ? y[to + c] + value : Math.max(y[to + c], value);
      }
    });
    if (!isMean) continue;
    for (let i = 0; i < width * channels; i++) {
      y[row * width * channels + i] /= counts[Math.floor(i / channels)];
    }
  }
  return { shape, data: y };
}

function resizeBilinear([x], { alignCorners, halfPixelCenters }, shape) {
  const [, height, width, channels] = x.shape;
  const places = (wanted, length) => Array.from({ length: wanted }, (_, i) => {
    const ends = alignCorners && wanted > 1;
    const scale = ends ? (length - 1) / (wanted - 1) : length / wanted;
    const at = Math.max(0, halfPixelCenters ? (i + 0.5) * scale - 0.5 : i * scale);
    const low = Math.min(Math.floor(at), length - 1);
    return [low, Math.min(low + 1, length - 1), at - low];
  });
  const y = new Float32Array(shape[1] * shape[2] * channels);
  let to = 0;
  const columns = places(shape[2], width);
  for (const [top, bottom, down] of places(shape[1], height)) {
    for (const [left, right, across] of columns) {
      const at = (row, column) => (row * width + column) * channels;
      const [a, b] = [at(top, left), at(top, right)];
      const [c, d] = [at(bottom, left), at(bottom, right)];
      for (let i = 0; i < channels; i++) {
        const upper = x.data[a + i] * (1 - across) + x.data[b + i] * across;
        const lower = x.data[c + i] * (1 - across) + x.data[d + i] * across;
        y[to++] = upper * (1 - down) + lower * down;
      }
    }
  }
  return { shape, data: y };
}
