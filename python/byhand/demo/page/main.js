// The page: it sends what is drawn to the server, and shows what comes back.

import { paintPixels, unpack } from "./arrays.js";
import { showAnswer, showNoAnswer, spoken } from "./answer.js";
import { $ } from "./elements.js";
import { Explanation } from "./explanation.js";
import { Maps } from "./maps.js";
import { HEIGHT, Pad, WIDTH } from "./pad.js";
import { showPreparation } from "./preparation.js";
import { get, latestOnly, post } from "./server.js";

const model = await get("/api/model");
const pad = new Pad($("pad"), drawn);
const maps = new Maps(model, choose);
const explanation = new Explanation(model, choose);

let reading = null; // the last answer of the server
let selected = 0; // the number of the symbol whose details are shown
let picture = null; // the picture that is read in place of the drawing: { file, canvas }
let position = null; // the value that is explained
let isChosen = false; // whether the reader of the page has chosen it
let sent = null; // the version of the drawing that was sent last
let shown = null; // the version of the drawing whose answer is shown
let strokeEnd = null; // when the last stroke ended, until its answer is shown

$("model").textContent =
  `${model.name}: ${model.layers.length} layers, ${model.parameters.toLocaleString("en")} parameters`;
$("light").hidden = model.preparation === "digits";

// Reads the drawing or the picture, and shows the answer.
const read = latestOnly(async () => {
  const version = (sent = pad.version);
  if (!picture && pad.isEmpty) return forget("Draw one digit, or several in a row.");
  const { file } = picture ?? {};
  try {
    const answer = await (file ? post("/api/picture", file) : readDrawing());
    if (file && picture?.file !== file) return; // a stroke has replaced the picture
    if (file) showPicture(answer.picture);
    reading = answer;
    selected = reading.main;
    shown = version;
    $("problem").textContent = "";
    showAnswer(reading, selected, model, select);
    if (strokeEnd !== null && (file || shown === pad.version)) finish();
    showDetails();
  } catch (error) {
    forget("There is no answer.");
    report(error);
  }
});

function readDrawing() {
  const light = $("light").querySelector("input").checked ? 1 : 0;
  return post(`/api/drawing?height=${HEIGHT}&width=${WIDTH}&light=${light}`, pad.ink());
}

// Called after each change of the drawing, and at the end of each stroke.
function drawn(ended) {
  picture = null;
  $("hint").hidden = !pad.isEmpty;
  strokeEnd = ended ? performance.now() : null;
  // The answer for the last point of a stroke may be here already, or on its way.
  if (sent !== pad.version) read();
  else if (ended && reading && shown === sent) finish();
}

// Notes the time from the end of a stroke to its answer, and says the answer.
function finish() {
  const time = performance.now() - strokeEnd;
  performance.measure("answer", { start: strokeEnd, duration: time });
  strokeEnd = null;
  const duration = time < 1 ? "before the stroke ended" : `in ${time.toFixed(0)} ms`;
  $("speed").textContent = `Answered ${duration}.`;
  $("status").textContent = spoken(reading, selected);
}

function forget(sentence) {
  reading = strokeEnd = null;
  showNoAnswer(sentence);
  $("details").hidden = true;
  $("problem").textContent = $("speed").textContent = $("status").textContent = "";
}

function select(symbol) {
  selected = symbol;
  showAnswer(reading, selected, model, select);
  $("status").textContent = `Symbol ${symbol + 1} is selected.`;
  showDetails();
}

// Shows how the selected symbol was prepared, and its feature maps. After each part, the browser
// first handles what has happened meanwhile, so the parts delay neither the pen nor the next answer.
const showDetails = latestOnly(async () => {
  await pause();
  if (!reading) return;
  $("details").hidden = false;
  showPreparation(reading, selected, picture?.canvas ?? pad.canvas, model);
  if (!model.stages.length) return;
  try {
    const computed = await post("/api/maps", image());
    await pause();
    maps.show(computed);
    if (!isChosen) position = first();
    await pause();
    await explain();
  } catch (error) {
    report(error);
  }
});

function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}

// The pixels of the selected symbol's image.
function image() {
  return unpack(reading.symbols[selected].image).bytes;
}

// The value that is explained first: the largest value of the first convolution.
function first() {
  const { shape, values } = maps.stages[0].output;
  const [, height, width] = shape;
  const best = values.indexOf(values.reduce((a, b) => Math.max(a, b)));
  return {
    stage: 0,
    channel: Math.floor(best / (height * width)),
    row: Math.floor(best / width) % height,
    column: best % width,
  };
}

// Called if the reader of the page chooses a value of a feature map, with a tap or in the fields.
function choose(chosen, isTap) {
  if (chosen.stage !== position.stage) explanation.plane = null;
  position = chosen;
  isChosen = true;
  explain();
  const { top } = $("explanation").getBoundingClientRect();
  if (isTap && top > 0.6 * innerHeight) $("explanation").scrollIntoView();
}

const explain = latestOnly(async () => {
  if (!reading) return;
  const [channels, rows, columns] = maps.stages[position.stage].output.shape;
  const limits = { channel: channels, row: rows, column: columns };
  for (const [name, count] of Object.entries(limits)) {
    position[name] = Math.min(position[name], count - 1);
  }
  const explained = { ...position };
  maps.mark(explained);
  explanation.place(explained, limits);
  try {
    const query = new URLSearchParams(explained);
    explanation.show(await post(`/api/explain?${query}`, image()), explained);
  } catch (error) {
    report(error);
  }
});

function report(error) {
  $("problem").textContent = error.message;
}

// Shows a picture that was uploaded, as the server has read it, on the canvas.
function showPicture(packed) {
  picture.canvas = document.createElement("canvas");
  paintPixels(picture.canvas, unpack(packed));
  pad.show(picture.canvas);
  $("hint").hidden = true;
}

$("clear").addEventListener("click", () => pad.clear());
$("undo").addEventListener("click", () => pad.undo());
$("upload").addEventListener("change", ({ target }) => {
  if (!target.files.length) return;
  picture = { file: target.files[0], canvas: null };
  target.value = ""; // the same file may be chosen again
  strokeEnd = performance.now();
  read();
});
for (const pen of document.getElementsByName("pen")) {
  pen.addEventListener("change", () => (pad.pen = Number(pen.value)));
}
$("light").addEventListener("change", () => read());
document.addEventListener("keydown", (event) => {
  if (
    event.key === "z" &&
    (event.ctrlKey || event.metaKey) &&
    !event.target.matches("input[type=number]")
  ) {
    event.preventDefault();
    pad.undo();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (picture?.canvas) pad.show(picture.canvas);
  else pad.repaint();
  if (reading) showDetails();
});
document.documentElement.dataset.ready = "";
