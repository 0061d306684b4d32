import { load } from "./squeeze.js";

const $ = (id) => document.getElementById(id);
const samples = [...$("samples").querySelectorAll("button")];
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const count = new Intl.NumberFormat("en");
const milliseconds = (time) => `${count.format(Math.round(time))} ms`;

let network; // once it is loaded
let turn = 0; // of photos; the answer to an earlier one comes too late
let camera; // its stream, while it is on
let requests = 0; // for the camera; one that was given up comes too late

function show(shown, ...ids) {
  for (const id of ids) $(id).hidden = !shown;
}

function showError(error) {
  $("error").textContent = error.message;
  show(true, "error");
  $("error").scrollIntoView({ block: "nearest" });
}

function clearMessages() {
  $("error").textContent = $("spoken").textContent = "";
  show(false, "error", "invitation");
}

// ---- The network ----

async function start() {
  show(false, "late"); // this script runs
  try {
    network = await load("model.sqz", { onProgress: (loaded, total) => ($("progress").value = loaded / total) });
  } catch (error) {
    show(false, "loading", "hint");
    return showError(error);
  }
  $("about").textContent =
    `${nameOf(network.architecture)} runs here, in your browser, from a file of ${count.format(network.modelBytes)} bytes. ` +
    "Your photos stay on this device.";
  $("decoding").textContent = milliseconds(network.decodeMilliseconds);
  showBytes();
  for (const button of document.querySelectorAll("button")) button.disabled = false;
  show(false, "loading");
  show(true, "invitation");
  document.body.dataset.ready = Math.round(performance.now()); // after navigation, for benchmarks
}

function nameOf(architecture) {
  const version = /^squeezenet(\d)_(\d)$/.exec(architecture);
  return version ? `SqueezeNet ${version[1]}.${version[2]}` : "A neural network";
}

/** Bytes of the page, the runtime and the network, as they were transferred; not of sample photos. */
function showBytes() {
  const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const needed = files.filter(({ name }) => !name.startsWith("data:") && !name.includes("/samples/"));
  const total = needed.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
  $("bytes").textContent = `${count.format(total)} bytes`;
}

// ---- Photos ----

async function classify(photo, sample) {
  const own = ++turn;
  stopCamera();
  clearMessages();
  showPhoto(photo);
  for (const button of samples) button.setAttribute("aria-pressed", String(button === sample));
  $("classes").classList.add("stale");
  try {
    const answer = await network.classify(photo);
    if (own === turn) showAnswer(answer);
  } catch (error) {
    if (own === turn) refuse(error);
  }
}

function refuse(error) {
  URL.revokeObjectURL($("photo").src);
  $("photo").removeAttribute("src");
  $("time").textContent = "–";
  show(false, "photo");
  show(true, "hint");
  $("stage").classList.remove("filled");
  show(false, "classes");
  showError(error);
}

function showPhoto(photo) {
  URL.revokeObjectURL($("photo").src);
  $("photo").src = URL.createObjectURL(photo);
  $("stage").classList.add("filled");
  show(false, "hint");
  show(true, "photo");
}

function showAnswer({ classes, milliseconds: time }) {
  showClasses(classes);
  $("time").textContent = milliseconds(time);
  const [{ label, probability }] = classes;
  $("spoken").textContent = `${label}, ${percent.format(probability)}, in ${milliseconds(time)}`;
}

/** Fill the rows in place, so that bars move from one answer to the next. */
function showClasses(classes) {
  const list = $("classes");
  list.classList.remove("stale");
  show(true, "classes");
  while (list.children.length < classes.length) list.append(newRow());
  [...list.children].forEach((row, place) => {
    const { label, probability } = classes[place];
    row.querySelector(".name").textContent = label;
    row.querySelector(".share").textContent = percent.format(probability);
    row.querySelector("i").style.width = `${100 * probability}%`;
  });
}

function newRow() {
  const row = document.createElement("li");
  for (const name of ["name", "share", "bar"]) {
    const part = document.createElement("span");
    part.className = name;
    row.append(part);
  }
  row.lastChild.append(document.createElement("i"));
  row.lastChild.setAttribute("aria-hidden", "true");
  return row;
}

function classifyFile(file) {
  if (network && file) classify(file);
}

$("choose").onclick = () => $("file").click();
$("hint").onclick = () => $("choose").click();
$("file").onchange = () => {
  classifyFile($("file").files[0]);
  $("file").value = ""; // so that the same file can be chosen again
};
for (const button of samples) {
  button.onclick = async () => {
    const own = ++turn;
    try {
      const response = await fetch(button.firstElementChild.src);
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const photo = await response.blob();
      if (own === turn) await classify(photo, button);
    } catch (error) {
      if (own === turn) refuse(new Error(`Cannot download the sample photo: ${error.message}`));
    }
  };
}
document.onpaste = ({ clipboardData }) => classifyFile(clipboardData.files[0]);
document.ondragover = (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
};
document.ondragleave = ({ relatedTarget }) => relatedTarget ?? $("stage").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  if (!network) return;
  const [file] = event.dataTransfer.files;
  if (file) classify(file);
  else refuse(new Error("This is not a photo. Drop a file."));
};

// ---- The camera ----

$("camera").onclick = async () => {
  clearMessages();
  stopCamera();
  const own = requests;
  try {
    if (!navigator.mediaDevices) throw new Error("a page has no camera unless its address begins with https: or is localhost");
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (own !== requests) return stopStream(stream);
    $("video").srcObject = camera = stream;
    await $("video").play();
  } catch (error) {
    if (own !== requests) return;
    stopCamera();
    return showError(new Error(`Cannot use the camera: ${error.message}. Choose a photo instead.`));
  }
  if (own !== requests) return;
  $("stage").classList.add("filled");
  show(false, "hint", "photo", "sources");
  show(true, "video", "shutter");
  $("take").focus();
};

$("take").onclick = () => {
  const canvas = document.createElement("canvas");
  canvas.width = $("video").videoWidth;
  canvas.height = $("video").videoHeight;
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((photo) => {
    classify(photo);
    $("camera").focus();
  });
};

$("stop").onclick = () => {
  stopCamera();
  show($("photo").src, "photo");
  show(!$("photo").src, "hint");
  $("stage").classList.toggle("filled", Boolean($("photo").src));
  $("camera").focus();
};

function stopStream(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Also gives up a request that waits for the visitor's permission. */
function stopCamera() {
  requests++;
  stopStream(camera);
  camera = undefined;
  show(false, "video", "shutter");
  show(true, "sources");
}

start();
