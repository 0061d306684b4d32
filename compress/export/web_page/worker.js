// Runs a network in WebAssembly, apart from the page. squeeze.js starts it; runtime/wasm/sqz_web.c is the other side.
"use strict";

const PIXEL_BYTES = 4, STRIP_BYTES = 1 << 23, SMALL_BUFFER = 49;
let runtime; // exports of the module

class Refusal {
  constructor(code, name, number) {
    Object.assign(this, { code, name, number });
  }
}

const bytes = () => new Uint8Array(runtime.memory.buffer);
const text = (address, length) => new TextDecoder().decode(bytes().slice(address, address + length));

function check(error) {
  if (!error) return;
  const address = runtime.error_name(error), name = text(address, bytes().indexOf(0, address) - address);
  throw new Refusal(name, name, error);
}

function got(address) {
  if (!address) check(SMALL_BUFFER);
  return address >>> 0; // above 2 GB it would be negative
}

function modelInfo() {
  const fields = new Uint32Array(runtime.memory.buffer, runtime.model_info(), 8);
  const [architecture, labels, architectureBytes, labelBytes, classes, height, width, probabilities] = fields;
  return { architecture: text(architecture, architectureBytes), labels: text(labels, labelBytes), classes, height, width, probabilities };
}

async function open({ wasm, file }) {
  const { instance } = await WebAssembly.instantiate(wasm).catch((error) => {
    throw new Refusal("bad-runtime", error.message);
  });
  runtime = instance.exports;
  const started = performance.now();
  const address = got(runtime.place_model(file.byteLength)); // before bytes(): memory that grows is another buffer
  bytes().set(new Uint8Array(file), address);
  check(runtime.open_model());
  const { architecture, labels, classes, height, width } = modelInfo();
  const names = labels ? labels.split("\n", classes) : Array.from({ length: classes }, (_, index) => `class ${index}`);
  const decodeMilliseconds = performance.now() - started;
  return { architecture, labels: names, height, width, modelBytes: file.byteLength, decodeMilliseconds };
}

/** Copy a photo to the runtime in strips, which any canvas can hold; transparent pixels become white. */
function copyPixels(bitmap) {
  const { height, width } = bitmap;
  const address = got(runtime.place_photo(height, width));
  const rows = Math.min(height, Math.ceil(STRIP_BYTES / (width * PIXEL_BYTES)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { alpha: false, willReadFrequently: true });
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, count);
    context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
    bytes().set(context.getImageData(0, 0, width, count).data, address + top * width * PIXEL_BYTES);
  }
}

function classify(bitmap) {
  copyPixels(bitmap);
  bitmap.close();
  const started = performance.now();
  check(runtime.classify());
  const milliseconds = performance.now() - started;
  const { classes, probabilities } = modelInfo();
  return { probabilities: new Float32Array(runtime.memory.buffer, probabilities, classes).slice(), milliseconds };
}

const requests = { open, classify };

onmessage = async ({ data: { number, request, content } }) => {
  try {
    postMessage({ number, result: await requests[request](content) });
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal("failed", String(error?.message ?? error));
    postMessage({ number, error: { ...refusal } });
  }
};

postMessage({}); // squeeze.js waits for it
