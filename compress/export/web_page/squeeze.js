/**
 * Runs the network of a .sqz file in the browser:
 *
 *     import { load } from "./squeeze.js";
 *     const network = await load("model.sqz");
 *     const { classes } = await network.classify(photo); // [{ index, label, probability }, ...]
 *
 * worker.js and squeeze.wasm.gz lie beside this file. squeeze.d.ts has the types.
 */

const WITH_SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const MODEL_TOO_LARGE = 32, BAD_PHOTO = 35, NO_MEMORY = 48, UNSUPPORTED = 64; // of sqz_error, in sqz.h
const WORKER_MILLISECONDS = 10_000; // for worker.js, after the downloads
const BROWSERS = "Open it in Chrome 91, Firefox 113, Safari 16.4 or a later version.";

export class SqueezeError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SqueezeError";
    this.code = code;
  }
}

export async function load(model, options = {}) {
  checkBrowser();
  const beside = (name) => new URL(name, import.meta.url);
  const network = new Network(options.worker ?? beside("worker.js"));
  try {
    const [wasm, file] = await Promise.all([
      download(options.wasm ?? beside("squeeze.wasm.gz")).then(decompress),
      download(model, options.onProgress),
    ]);
    network.expectWorker();
    Object.assign(network, await network.ask("open", { wasm, file }, [wasm, file]));
  } catch (error) {
    network.close();
    throw error;
  }
  return network;
}

class Network {
  #worker; // undefined if the browser refuses its address
  #started = false; // whether it has sent a message
  #waiting = new Map(); // requests by number
  #requests = 0;
  #ended; // the error of all requests from now on

  constructor(address) {
    try {
      this.#worker = new Worker(address);
    } catch {
      return this.#refuseWorker();
    }
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#refuseWorker();
    };
  }

  /** Browsers run an empty worker.js, or another script in its place, without an error. */
  expectWorker() {
    setTimeout(() => this.#started || this.#refuseWorker(), WORKER_MILLISECONDS);
  }

  async classify(photo, { top = 5 } = {}) {
    const bitmap = await toBitmap(photo);
    const { probabilities, milliseconds } = await this.ask("classify", bitmap, [bitmap]);
    const best = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, top);
    const classes = best.map((index) => ({ index, label: this.labels[index], probability: probabilities[index] }));
    return { classes, probabilities, milliseconds };
  }

  close() {
    this.#end(new SqueezeError("closed", "The network was closed."));
  }

  ask(request, content, transferred) {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      const number = ++this.#requests;
      try {
        this.#worker.postMessage({ number, request, content }, transferred);
      } catch {
        return reject(new SqueezeError("bad-photo", "A page may not read this photo of another site. Load it with crossorigin, or choose a file."));
      }
      this.#waiting.set(number, { resolve, reject });
    });
  }

  #answer({ number, result, error }) {
    this.#started = true;
    const { resolve, reject } = this.#waiting.get(number) ?? {};
    this.#waiting.delete(number);
    if (error) reject?.(new SqueezeError(error.code, explain(error)));
    else resolve?.(result);
  }

  #refuseWorker() {
    this.#end(new SqueezeError("no-worker", "Cannot start worker.js: it is missing or empty on the page's server, or refused."));
  }

  #end(error) {
    this.#worker?.terminate();
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function checkBrowser() {
  if (typeof WebAssembly !== "object") {
    throw new SqueezeError("no-wasm", `This browser has no WebAssembly, or it is turned off. ${BROWSERS}`);
  }
  if (!WebAssembly.validate(new Uint8Array(WITH_SIMD))) {
    throw new SqueezeError("no-simd", `This browser or processor has no SIMD in WebAssembly. ${BROWSERS}`);
  }
  if (typeof OffscreenCanvas !== "function" || typeof DecompressionStream !== "function") {
    throw new SqueezeError("old-browser", `This browser is too old. ${BROWSERS}`);
  }
}

async function download(url, onProgress) {
  const name = `${url}`.replace(/[?#].*/, "").split("/").pop();
  const fail = ({ message }) => {
    throw new SqueezeError("download", `Cannot download ${name}: ${message}. Check the connection, and load the page again.`);
  };
  const response = await fetch(url, { cache: "no-cache" }).catch(fail); // another export may have replaced the file
  if (!response.ok || !response.body) fail({ message: `HTTP ${response.status}` });
  const total = Number(response.headers.get("Content-Length")), reader = response.body.getReader(), parts = [];
  for (let part, loaded = 0; !(part = await reader.read().catch(fail)).done; parts.push(part.value)) {
    loaded += part.value.length;
    onProgress?.(loaded, Math.max(loaded, total)); // may throw, which is no failed download
  }
  return new Blob(parts).arrayBuffer().catch(fail);
}

/** Some servers decompress files named .gz themselves; a module begins with 0. Others answer with a page. */
async function decompress(bytes) {
  if (new Uint8Array(bytes)[0] === 0) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer().catch(() => {
    throw new SqueezeError("bad-runtime", "squeeze.wasm.gz is damaged. Upload it to the server again.");
  });
}

/** Color profiles are ignored, as in squeeze-compress. */
async function toBitmap(photo) {
  try {
    return await createImageBitmap(photo, { colorSpaceConversion: "none" });
  } catch {
    throw new SqueezeError("bad-photo", "This is not a photo, is damaged or too large, or has a format that this browser does not read. Choose a JPEG or PNG file.");
  }
}

function explain({ code, name, number }) {
  if (code === "bad-runtime") return `squeeze.wasm.gz does not run: ${name}. A Content-Security-Policy of the server needs 'wasm-unsafe-eval'.`;
  if (number === undefined) return `The runtime stopped: ${name}. Load the page again.`;
  if (number === BAD_PHOTO) return "The photo has no pixels, is too narrow or has more than 65,536 pixels a side. Choose another one.";
  if (number >= UNSUPPORTED) return `The page cannot run this network (${name}). A later version of squeeze-compress may export a page that can.`;
  if (number >= NO_MEMORY) return "The browser has too little memory. Choose a smaller photo, or close other pages.";
  if (number >= MODEL_TOO_LARGE) return `The network is too large for this page (${name}).`;
  return `The model is damaged or not a .sqz file (${name}). Upload it to the server again, and check it with: squeeze-compress verify.`;
}
