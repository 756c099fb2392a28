// Beside the page, so that it stays alive while the network thinks.
"use strict";

let network;
onmessage = ({ data: { program, weights, pixels } }) => {
  if (program) {
    network = new Network(program, weights);
    return;
  }
  const start = performance.now();
  try {
    let shown = start;
    const outputs = network.run(pixels, (done) => {
      if (performance.now() - shown < 50) return;
      shown = performance.now();
      postMessage({ done });
    });
    postMessage({ outputs, milliseconds: performance.now() - start });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
