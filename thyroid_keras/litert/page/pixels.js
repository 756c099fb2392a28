// From a picture's file to the pixels that `predict` sees: what data/decode.py, pictures.py
// and resize.py do, in the same whole numbers.
"use strict";

const MAX_PIXELS = 64e6;
const LUMA = [19595, 38470, 7471]; // of 65536: what Pillow turns colour to grey with

// Promise of {data, height, width}, data uint8 RGB over black, upright as EXIF says
async function decode(file) {
  let bitmap;
  try {
    const as = { colorSpaceConversion: "none", imageOrientation: "from-image" };
    bitmap = await createImageBitmap(file, as);
  } catch {
    throw new Error("no picture that this browser can read; save it as PNG or JPEG");
  }
  const { height, width } = bitmap;
  if (height * width > MAX_PIXELS) {
    throw new Error("above 64 megapixels; crop it or scale it down first");
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(3 * height * width);
  for (let i = 0, j = 0; j < rgba.length; j += 4) {
    data[i++] = rgba[j];
    data[i++] = rgba[j + 1];
    data[i++] = rgba[j + 2];
  }
  return { data, height, width };
}

// RGB to `channels`, 1 or 3, values at each pixel
function withChannels(image, channels) {
  if (channels === 3) return { ...image, channels };
  const data = new Uint8Array(image.height * image.width);
  for (let i = 0, j = 0; i < data.length; i++, j += 3) {
    const [red, green, blue] = LUMA;
    const sum = red * image.data[j] + green * image.data[j + 1] + blue * image.data[j + 2];
    data[i] = (sum + 32768) >>> 16;
  }
  return { ...image, data, channels };
}

// the mean over each pixel's area where neither side grows, bilinear otherwise
function resize(image, height, width) {
  if (image.height === height && image.width === width) return image;
  const shrinks = height <= image.height && width <= image.width;
  const along = shrinks ? areaSums : bilinearSums;
  const scale = shrinks ? image.height * image.width : 4 * height * width;
  const { channels } = image;
  const rows = along(image.data, 1, image.height, height, image.width * channels);
  const sums = along(rows, height, image.width, width, channels);
  return { data: Uint8Array.from(sums, (sum) => halfToEven(sum / scale)), height, width, channels };
}

// `values` are (before, length, after); the sums over `wanted` equal stretches of the length
function areaSums(values, before, length, wanted, after) {
  const sums = new Float64Array(before * wanted * after);
  for (let b = 0; b < before; b++) {
    for (let s = 0; s < wanted; s++) {
      const start = s * length, end = start + length; // in parts of which a value has `wanted`
      const at = (b * wanted + s) * after;
      for (let i = Math.floor(start / wanted); i * wanted < end; i++) {
        const share = Math.min(end, (i + 1) * wanted) - Math.max(start, i * wanted);
        const from = (b * length + i) * after;
        for (let a = 0; a < after; a++) sums[at + a] += share * values[from + a];
      }
    }
  }
  return sums;
}

// the same with values interpolated at `wanted` places; two weights add up to 2 wanted
function bilinearSums(values, before, length, wanted, after) {
  const sums = new Float64Array(before * wanted * after);
  const inside = (i) => Math.min(Math.max(i, 0), length - 1);
  for (let s = 0; s < wanted; s++) {
    const place = (2 * s + 1) * length - wanted;
    const below = Math.floor(place / (2 * wanted)), weight = place - 2 * wanted * below;
    for (let b = 0; b < before; b++) {
      const at = (b * wanted + s) * after;
      const lower = (b * length + inside(below)) * after;
      const upper = (b * length + inside(below + 1)) * after;
      for (let a = 0; a < after; a++) {
        sums[at + a] = (2 * wanted - weight) * values[lower + a] + weight * values[upper + a];
      }
    }
  }
  return sums;
}

function halfToEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}

// a picture's file as what the network takes, Float32Array in [0, 1]
async function pixelsOf(file, [height, width, channels]) {
  const picture = await decode(file);
  const image = resize(withChannels(picture, channels), height, width);
  const level = Math.fround(1 / 255);
  return { picture, pixels: Float32Array.from(image.data, (value) => value * level) };
}
