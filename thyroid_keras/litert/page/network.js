// Runs a network: a list of operations on numbered tensors, as litert/program.py writes it,
// with the options that LiteRT's schema has for each operation.
"use strict";

class Network {
  // `program`: {input, outputs, shapes, constants, steps}; `weights`: their bytes, an ArrayBuffer
  constructor(program, weights) {
    this.program = program;
    this.constants = {};
    for (const [id, [start, length]] of Object.entries(program.constants)) {
      const data = new Float32Array(weights, 4 * start, length);
      this.constants[id] = { shape: program.shapes[id], data };
    }
    const wanted = new Set(Object.values(program.outputs)); // never let go
    this.lastUse = {};
    program.steps.forEach(({ inputs }, i) => {
      for (const id of inputs) if (!wanted.has(id)) this.lastUse[id] = i;
    });
  }

  // Float32Array of an image to an object of tensors by the outputs' names
  run(pixels, progress = () => {}) {
    const { input, outputs, shapes, steps } = this.program;
    const tensors = { ...this.constants, [input]: { shape: shapes[input], data: pixels } };
    steps.forEach(({ operation, inputs, output, activation, ...how }, i) => {
      const given = inputs.map((id) => tensors[id]);
      const found = OPERATIONS[operation](given, how, shapes[output]);
      const bend = ACTIVATIONS[activation];
      if (bend) for (let j = 0; j < found.data.length; j++) found.data[j] = bend(found.data[j]);
      tensors[output] = found;
      for (const id of inputs) if (this.lastUse[id] === i) delete tensors[id];
      progress((i + 1) / steps.length);
    });
    const named = Object.entries(outputs).map(([name, id]) => [name, tensors[id]]);
    return Object.fromEntries(named);
  }
}
