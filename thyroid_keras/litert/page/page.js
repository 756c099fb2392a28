"use strict";

const WARM = [255, 110, 0], COLD = [0, 130, 255]; // told apart by colour-blind readers
const MAX_VIEW_PX = 1600;

const by = (id) => document.getElementById(id);
const card = JSON.parse(by("card").textContent);
const worker = startWorker();
let shown = null; // {picture, outputs, named} of the last answer
let waiting = Promise.resolve(); // pictures are answered one after another

function startWorker() {
  const code = new Blob([by("runtime").textContent], { type: "text/javascript" });
  const started = new Worker(URL.createObjectURL(code));
  const weights = Uint8Array.from(atob(by("weights").textContent), (c) => c.charCodeAt(0)).buffer;
  const program = JSON.parse(by("program").textContent);
  started.postMessage({ program, weights }, [weights]);
  for (const id of ["weights", "program"]) by(id).remove();
  return started;
}

function ask(pixels) {
  return new Promise((resolve, reject) => {
    worker.onerror = (event) => reject(new Error(event.message));
    worker.onmessage = ({ data }) => {
      if (data.error) reject(new Error(data.error));
      else if (data.outputs) resolve(data);
      else by("progress").value = data.done;
    };
    worker.postMessage({ pixels });
  });
}

async function show(file) {
  say(`Reading ${file.name} …`);
  by("answer").hidden = true;
  try {
    const { picture, pixels } = await pixelsOf(file, card.image_shape);
    say(`The network looks at ${file.name} …`);
    by("progress").hidden = false;
    const { outputs, milliseconds } = await ask(pixels);
    const named = nameOf(outputs.probabilities.data);
    shown = { picture, outputs, named };
    say(`${file.name}: ${picture.width}×${picture.height} pixels, answered in ` +
      `${(milliseconds / 1000).toFixed(2)} s`);
    by("answer").hidden = false;
    listClasses(outputs.probabilities.data, named);
    listMaps();
    draw();
  } catch (error) {
    say(`${file.name}: ${error.message}`, true);
  } finally {
    by("progress").hidden = true;
  }
}

function say(text, isWrong = false) {
  by("status").textContent = text;
  by("status").className = isWrong ? "wrong" : "";
}

// of two classes the second from the threshold on, else the likeliest
function nameOf(probabilities) {
  if (probabilities.length === 2) return probabilities[1] >= card.threshold ? 1 : 0;
  return probabilities.indexOf(Math.max(...probabilities));
}

function row(...cells) {
  const line = document.createElement("tr");
  cells.forEach((cell, i) => {
    const box = document.createElement(i ? "td" : "th");
    box.append(cell);
    line.append(box);
  });
  return line;
}

function listClasses(probabilities, named) {
  const lines = card.class_names.map((name, k) => {
    const bar = document.createElement("i");
    bar.style.width = `${100 * probabilities[k]}%`;
    const line = row(name, bar, `${(100 * probabilities[k]).toFixed(1)} %`);
    line.children[1].className = "bar";
    line.children[2].className = "number";
    line.className = k === named ? "named" : "";
    line.dataset.probability = probabilities[k];
    return line;
  });
  by("classes").replaceChildren(...lines);
  by("named").textContent = card.class_names[named];
  by("rule").textContent = card.class_names.length === 2
    ? `Named ${card.class_names[1]} from ${(100 * card.threshold).toFixed(1)} % on` +
      `${card.threshold_origin ? ` (${card.threshold_origin})` : ""}.`
    : "Named is the likeliest class.";
}

// {shape, data, signed, highest, legend} of each map among the outputs, by its title
function mapsOf({ outputs, named }) {
  const { probabilities, class_maps: classMaps, mask, ...gates } = outputs;
  const maps = {};
  for (const [name, map] of Object.entries(card.maps ?? {})) {
    maps[`attention: ${name}`] = {
      ...map, legend: "Warm where pictures count most: one map for all of them.",
    };
  }
  for (const [name, { shape, data }] of Object.entries(gates)) {
    maps[`attention: ${name}`] = {
      shape: shape.slice(1, 3), data, legend: "Warm where the gate lets most through.",
    };
  }
  if (classMaps) {
    const [, height, width, count] = classMaps.shape, name = card.class_names[named];
    const data = new Float32Array(height * width).map((_, i) => {
      const own = classMaps.data[i * count + named];
      return count === 2 ? own - classMaps.data[i * count + 1 - named] : own;
    });
    maps[`class map: ${name}`] = {
      shape: [height, width], data, signed: true,
      legend: `Orange where the picture speaks for “${name}”, blue where against it.`,
    };
  }
  if (mask) {
    maps.mask = {
      shape: mask.shape.slice(1, 3), data: mask.data, highest: 1,
      legend: "Orange where the network draws its mask.",
    };
  }
  return maps;
}

function listMaps() {
  const chosen = by("map").value, names = [...Object.keys(mapsOf(shown)), "nothing"];
  by("map").replaceChildren(...names.map((name) => new Option(name)));
  const again = names.find((name) => name.split(":")[0] === chosen.split(":")[0]);
  by("map").value = names.includes(chosen) ? chosen : again ?? names[0];
  by("looking").hidden = names.length === 1;
}

// a map as a small picture of its own, to be laid over the large one
function coloured({ shape: [height, width], data, signed, highest }) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  let low = 0, most = highest ?? 0;
  if (highest === undefined) {
    if (!signed) low = data.reduce((a, b) => Math.min(a, b));
    most = data.reduce((a, b) => Math.max(a, Math.abs(b - low)), 0);
  }
  data.forEach((value, i) => {
    const share = most > 0 ? (value - low) / most : 0;
    image.data.set(share < 0 ? COLD : WARM, 4 * i);
    image.data[4 * i + 3] = 255 * Math.min(1, Math.abs(share));
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function draw() {
  const { picture } = shown, map = mapsOf(shown)[by("map").value], view = by("view");
  const scale = Math.min(1, MAX_VIEW_PX / Math.max(picture.width, picture.height));
  view.width = Math.max(1, Math.round(picture.width * scale));
  view.height = Math.max(1, Math.round(picture.height * scale));
  const context = view.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(canvasOf(picture), 0, 0, view.width, view.height);
  if (map) {
    context.globalAlpha = by("strength").value;
    context.drawImage(coloured(map), 0, 0, view.width, view.height);
    context.globalAlpha = 1;
  }
  by("legend").textContent = map?.legend ?? "";
  by("caption").textContent = map ? by("map").value : "the picture as it is";
}

function canvasOf({ data, height, width }) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0, j = 0; i < data.length; j += 4) {
    image.data[j] = data[i++];
    image.data[j + 1] = data[i++];
    image.data[j + 2] = data[i++];
    image.data[j + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function take(files) {
  for (const file of files) waiting = waiting.then(() => show(file));
}

by("facts").append(...Object.entries(card.facts).map(([name, text]) => row(name, text)));
by("limits").append(...card.limits.map((text) => {
  const item = document.createElement("li");
  item.append(text);
  return item;
}));
by("file").onchange = ({ target }) => take(target.files);
by("map").onchange = by("strength").oninput = draw;
addEventListener("dragover", (event) => {
  event.preventDefault();
  by("drop").classList.add("over");
});
addEventListener("dragleave", () => by("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  by("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
say("Ready.");
