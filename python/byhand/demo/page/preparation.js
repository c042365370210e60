// The preparation: how a drawing or a picture becomes the image that the model sees.

import { paintPixels, unpack } from "./arrays.js";
import { $, make } from "./elements.js";

// Shows the steps. `source` is a canvas or an image with the drawing or the picture.
export function showPreparation({ symbols }, selected, source, model) {
  const symbol = symbols[selected];
  const image = unpack(symbol.image);
  const [height, width] = model.input_shape.slice(1);
  const size = `${height} × ${width}`;
  const prepared = make("canvas");
  paintPixels(prepared, image);
  if (symbol.ink === null) {
    const steps = [step("Taken", "The whole picture is taken.", found(source, []))];
    steps.push(step("Resized", `It is resized to ${size} pixels.`, prepared));
    $("preparation-text").textContent =
      model.preparation === "digits"
        ? "The picture looks like the model's training images already, so it is not changed."
        : "This model was trained with pictures that were only resized, so yours is resized, too.";
    $("preparation").replaceChildren(...steps);
    return;
  }
  const cropped = make("canvas");
  paintPixels(cropped, unpack(symbol.ink));
  const most = Math.max(height, width);
  const side = Math.round((20 / 28) * most);
  $("preparation-text").textContent =
    "The model was trained with digits that all have the same size and the same place. byhand " +
    "prepares yours in the same way, with the code of byhand predict.";
  $("preparation").replaceChildren(
    step("Found", foundText(symbols.length), found(source, symbols, selected)),
    step("Cropped", "Only the ink inside the frame is kept, white on black as in MNIST.", cropped),
    step(
      "Centred",
      `The longer side shrinks to ${side} of ${most} pixels, and the centre of the ink's mass ` +
        "moves to the middle, where the lines cross.",
      make("div", { class: "crosshair" }, prepared),
    ),
  );
}

function foundText(count) {
  if (count === 1) return "Connected strokes form a digit, and a frame is put around it.";
  return `Connected strokes form a digit. Here are ${count}, and the selected one has a solid frame.`;
}

function step(name, text, picture) {
  const canvas = picture.querySelector?.("canvas") ?? picture;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name}: ${text}`);
  return make("figure", {}, picture, make("figcaption", {}, make("b", {}, name), ` ${text}`));
}

// The drawing, 360 pixels wide, with a frame around each symbol.
function found(source, symbols, selected) {
  const scale = 360 / source.width;
  const [width, height] = [360, Math.round(source.height * scale)];
  const canvas = make("canvas", { class: "found", width, height });
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, width, height);
  context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  context.lineWidth = 2;
  symbols.forEach(({ box: [top, left, bottom, right] }, i) => {
    context.setLineDash(i === selected ? [] : [4, 4]);
    const corner = [left * width - 2, top * height - 2];
    context.strokeRect(...corner, (right - left) * width + 4, (bottom - top) * height + 4);
  });
  return canvas;
}
