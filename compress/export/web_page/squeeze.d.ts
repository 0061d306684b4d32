/** A failure, with a message for people. */
export class SqueezeError extends Error {
  /**
   * "no-wasm", "no-simd", "old-browser", "no-worker", "download", "bad-runtime", "bad-photo", "closed", "failed", or an
   * error of the runtime, such as "bad-checksum".
   */
  readonly code: string;
}

export interface Prediction {
  /** The class, from 0. */
  readonly index: number;
  readonly label: string;
  /** From 0 to 1. */
  readonly probability: number;
}

export interface Classification {
  /** The most probable classes, the best first. */
  readonly classes: Prediction[];
  /** Of all classes, by index. */
  readonly probabilities: Float32Array;
  /** Time of resizing and of the network; decoding the photo comes before. */
  readonly milliseconds: number;
}

/** An open network, in a worker of its own. */
export interface Network {
  /** Name of the architecture, such as "squeezenet1_1". */
  readonly architecture: string;
  /** Names of the classes, by index; "class 0" and so on if the file has none. */
  readonly labels: string[];
  /** Pixels of the network's input. A photo of any size is resized to it. */
  readonly height: number;
  readonly width: number;
  readonly modelBytes: number;
  /** Time in which the weights were decoded. */
  readonly decodeMilliseconds: number;
  /** Classify a photo; a Blob is a file in a format that the browser reads. Rejects with a SqueezeError. */
  classify(photo: ImageBitmapSource, options?: { top?: number }): Promise<Classification>;
  /** End the worker and free its memory. */
  close(): void;
}

export interface LoadOptions {
  /** Address of squeeze.wasm.gz, or of squeeze.wasm; beside squeeze.js by default. */
  wasm?: string | URL;
  /** Address of worker.js, of the page's origin; beside squeeze.js by default. */
  worker?: string | URL;
  /** Called while the model is downloaded, with bytes. `load` rejects with what it throws. */
  onProgress?(loaded: number, total: number): void;
}

/** Download a .sqz file, decode its weights and open its network. Rejects with a SqueezeError. */
export function load(model: string | URL, options?: LoadOptions): Promise<Network>;
