// The explanation of one value: the patch, the filter, their products, the sum, and what follows.

import { largest, paintSigned, palette, tint, unpack } from "./arrays.js";
import { $, make, number } from "./elements.js";

const FIELDS = { channel: "Map", row: "Row", column: "Column" };

export class Explanation {
  // `choose(position)` is called if the reader of the page changes one of the fields.
  constructor(model, choose) {
    this.model = model;
    this.plane = null; // the input channel in view. null means the one with the largest sum
    const stages = model.stages.map((_, i) => make("option", { value: i }, `Convolution ${i + 1}`));
    const choice = make("select", { name: "stage", "aria-label": "Convolution" }, ...stages);
    this.inputs = [choice];
    $("position").append(choice);
    for (const [name, label] of Object.entries(FIELDS)) {
      const input = make("input", { type: "number", min: 0, required: true, name });
      this.inputs.push(input);
      $("position").append(make("label", {}, `${label} `, input));
    }
    $("position").append(make("span", { class: "quiet" }, "counted from 0"));
    $("position").addEventListener("submit", (event) => event.preventDefault());
    $("position").addEventListener("input", () => {
      if ($("position").checkValidity()) {
        choose(Object.fromEntries(this.inputs.map(({ name, value }) => [name, Number(value)])));
      }
    });
  }

  // Shows the position in the fields. `limits` are the numbers of maps, rows and columns.
  place(position, limits) {
    for (const input of this.inputs) {
      if (input.name in limits) input.max = limits[input.name] - 1;
      if (document.activeElement !== input) input.value = position[input.name];
    }
  }

  show(explained, position) {
    this.explained = explained;
    this.position = position;
    const { channel_sums: sums } = explained;
    const most = largest(sums);
    const plane = this.plane ?? sums.findIndex((sum) => Math.abs(sum) === most);
    $("explanation").hidden = false;
    $("formula").replaceChildren(
      ...this.#planes(sums, plane),
      this.#products(explained, plane),
      make("p", { class: "equation" }, ...equation(explained)),
      make("p", {}, sumText(explained)),
      ...explained.after.map((step) => follow(step)),
    );
  }

  // Buttons for the input channels, if there are several: each has the sum of its products.
  #planes(sums, plane) {
    if (sums.length === 1) return [];
    const colours = palette(largest(sums));
    const buttons = sums.map((sum, i) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(i === plane),
          "aria-label": `Input map ${i}, sum of its products ${number(sum)}`,
          style: tint(sum, colours),
          click: () => {
            this.plane = i;
            this.show(this.explained, this.position);
            $("formula").querySelector("[aria-pressed=true]").focus();
          },
        },
        number(sum),
      ),
    );
    const text =
      `The filter has one layer of weights for each of the ${sums.length} input maps. Each number ` +
      "below is the sum of the products of one input map. Choose one to see its products.";
    return [make("p", {}, text), make("div", { class: "planes" }, ...buttons)];
  }

  // What the values of the image mean, if the convolution sees the image itself.
  #scale() {
    const { scale, offset } = this.model;
    if (this.position.stage !== this.model.image_stage) return "";
    return ` Black is ${number(offset, 0)} and white is ${number(255 * scale + offset, 0)}.`;
  }

  #products({ patch, filter, products, input, first_channel: first, top, left, spacing }, plane) {
    const isImage = this.position.stage === this.model.image_stage && patch.length === 1;
    const name = isImage ? "the image" : `input map ${first + plane}`;
    const colours = [patch, filter, products].map((each) => palette(largest(each.flat(2))));
    const field = make("canvas", { role: "img", "aria-label": `Where the patch lies in ${name}` });
    const sum = number(products[plane].flat().reduce((a, b) => a + b));
    const { shape, values } = unpack(input);
    const [, height, width] = shape;
    const map = values.subarray(plane * height * width, (plane + 1) * height * width);
    paintSigned(field, height, width, map, palette(largest(values)));
    const high = (patch[plane].length - 1) * spacing[0] + 1;
    const wide = (patch[plane][0].length - 1) * spacing[1] + 1;
    const frame = make("i", {
      class: "frame",
      style: {
        left: `${(100 * left) / width}%`,
        top: `${(100 * top) / height}%`,
        width: `${(100 * wide) / width}%`,
        height: `${(100 * high) / height}%`,
      },
    });
    const place = ` The patch in ${name}.${this.#scale()}`;
    return make(
      "div",
      { class: "product" },
      make(
        "figure",
        { class: "where" },
        make("span", { class: "map" }, field, frame),
        make("figcaption", {}, make("b", {}, "Place"), place),
      ),
      grid("Patch", "The values under the filter.", patch[plane], colours[0]),
      make("span", { class: "operator", "aria-hidden": "true" }, "×"),
      grid("Filter", "The weights that training found.", filter[plane], colours[1]),
      make("span", { class: "operator", "aria-hidden": "true" }, "="),
      grid(
        "Products",
        `Each value times its weight. Their sum is ${sum}.`,
        products[plane],
        colours[2],
      ),
    );
  }
}

// A table of numbers, each on its colour.
function grid(name, text, rows, colours) {
  const cells = rows.map((row) =>
    make(
      "tr",
      {},
      ...row.map((value) =>
        make("td", tinted(value, colours), value === null ? "" : number(value)),
      ),
    ),
  );
  const isWide = rows[0].length > 5;
  const table = make(
    "table",
    { class: isWide ? "small" : "", "aria-label": name },
    make("tbody", {}, ...cells),
  );
  // A wide table scrolls on a narrow screen. It takes the focus, so that the arrow keys scroll it.
  const region = isWide ? { tabindex: 0, role: "region", "aria-label": `${name}, may scroll` } : {};
  const caption = make("figcaption", {}, make("b", {}, name), ` ${text}`);
  return make("figure", {}, make("div", { class: "scroll", ...region }, table), caption);
}

function tinted(value, colours) {
  return value === null ? { class: "outside" } : { style: tint(value, colours) };
}

function equation({ products, sum, bias, value }) {
  const count = products.flat(2).length;
  return [
    make("span", {}, `sum of ${count} products `, make("b", {}, number(sum, 4))),
    " + ",
    make("span", {}, "bias ", make("b", {}, number(bias, 4))),
    " = ",
    make("b", { class: "result" }, number(value, 4)),
  ];
}

function sumText({ total, value }) {
  const apart = Math.abs(total - value);
  return (
    "This sum is the value of the feature map. " +
    (apart === 0
      ? "The kernel computed the same number."
      : `The kernel computes in another order and rounds to 32 bits, so its result differs by ${apart.toExponential(0)}.`)
  );
}

// What a layer after the convolution makes of the value.
function follow(step) {
  const title = make("h3", {}, make("code", {}, step.layer));
  const said = { max, mean, norm, relu, tanh, sigmoid, unused }[step.kind](step);
  return make("div", { class: "follow" }, title, ...said);
}

function windowGrid({ window, chosen }, marksLargest) {
  const colours = palette(largest(window.flat()));
  const figure = grid("Window", "The pooling window. Your value has a frame.", window, colours);
  const rows = figure.querySelectorAll("tr");
  rows[chosen[0]].children[chosen[1]].classList.add("chosen");
  if (marksLargest) {
    const values = window.flat();
    const best = values.indexOf(Math.max(...values.filter((value) => value !== null)));
    rows[Math.floor(best / window[0].length)].children[best % window[0].length].classList.add(
      "largest",
    );
  }
  return figure;
}

function max(step) {
  const count = step.window.flat().filter((value) => value !== null).length;
  const fate = step.is_largest
    ? "This value is the largest, so it goes on."
    : "This value is not the largest. The window's maximum goes on in its place.";
  return [
    make("div", { class: "product" }, windowGrid(step, true)),
    make("p", {}, `Max pooling keeps the largest of ${count} neighbours. ${fate}`),
    make(
      "p",
      { class: "equation" },
      `maximum of ${count} values = `,
      make("b", { class: "result" }, number(step.value, 4)),
    ),
  ];
}

function mean(step) {
  return [
    make("div", { class: "product" }, windowGrid(step, false)),
    make("p", {}, "Average pooling replaces the window by its mean."),
    make(
      "p",
      { class: "equation" },
      "mean = ",
      make("b", { class: "result" }, number(step.value, 4)),
    ),
  ];
}

function norm({ running_mean: mean, running_var: variance, eps, weight, bias, input, value }) {
  return [
    make(
      "p",
      {},
      "Batch normalisation subtracts the mean of the training images, divides by their standard " +
        "deviation, and then scales and shifts.",
    ),
    make(
      "p",
      { class: "equation" },
      `(${number(input, 4)} − ${number(mean, 4)}) / √(${number(variance, 4)} + ${eps}) × ${number(weight, 4)} + ${number(bias, 4)} = `,
      make("b", { class: "result" }, number(value, 4)),
    ),
  ];
}

function relu({ input, value }) {
  const text =
    input > 0 ? "ReLU lets positive values pass." : "ReLU replaces negative values by zero.";
  return activation(text, `max(0, ${number(input, 4)})`, value);
}

function tanh({ input, value }) {
  return activation(
    "The hyperbolic tangent squeezes every value into −1 to 1.",
    `tanh(${number(input, 4)})`,
    value,
  );
}

function sigmoid({ input, value }) {
  return activation(
    "The sigmoid squeezes every value into 0 to 1.",
    `1 / (1 + exp(${number(-input, 4)}))`,
    value,
  );
}

function activation(text, formula, value) {
  return [
    make("p", {}, text),
    make(
      "p",
      { class: "equation" },
      `${formula} = `,
      make("b", { class: "result" }, number(value, 4)),
    ),
  ];
}

function unused() {
  return [make("p", {}, "No pooling window contains this value, so it goes no further.")];
}
