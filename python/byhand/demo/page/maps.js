// The feature maps of all convolutions. A tap on a map chooses one of its values.

import { largest, paintSigned, palette, unpack } from "./arrays.js";
import { $, make } from "./elements.js";

export class Maps {
  // `choose({ stage, channel, row, column }, true)` is called if the reader of the page taps on a value.
  constructor(model, choose) {
    this.choose = choose;
    this.marker = make("i", { class: "marker" });
    const count = model.stages.length;
    $("maps-text").textContent = count
      ? "A feature map is the image as one filter sees it. Orange values are positive, blue values " +
        "are negative, and zero has the colour of the page. Tap on a value to see how it was computed."
      : "This model has no convolution, so there are no feature maps. Each of its weights sees " +
        "one pixel or one feature, and no neighbourhood.";
    this.stages = model.stages.map((layers, i) => ({ layers, title: `Convolution ${i + 1}` }));
  }

  // Shows the maps that the server has computed.
  show({ stages }) {
    stages.forEach(({ output, after }, i) => {
      const stage = this.stages[i];
      stage.output = unpack(output);
      stage.after = after && unpack(after);
      if (!stage.tiles) this.#build(stage, i);
      paintTiles(stage.tiles, ".output", stage.output);
      if (stage.after) paintTiles(stage.tiles, ".after", stage.after);
    });
  }

  // Puts the marker on a value.
  mark({ stage, channel, row, column }) {
    const { tiles, output } = this.stages[stage];
    const [, height, width] = output.shape;
    Object.assign(this.marker.style, {
      left: `${(100 * column) / width}%`,
      top: `${(100 * row) / height}%`,
      width: `${100 / width}%`,
      height: `${100 / height}%`,
    });
    tiles[channel].querySelector(".map").append(this.marker);
  }

  #build(stage, number) {
    const [count, height, width] = stage.output.shape;
    stage.tiles = Array.from({ length: count }, (_, channel) =>
      make(
        "div",
        { class: "tile" },
        make("span", { class: "map" }, make("canvas", { class: "output" })),
        stage.after ? make("canvas", { class: "after" }) : "",
        make("span", { class: "number" }, String(channel)),
      ),
    );
    const after = stage.after
      ? `. The small picture beside each map is what the next layer gets: ${stage.after.shape[1]} × ` +
        `${stage.after.shape[2]} values, after ${stage.layers.slice(1).map(shortName).join(" and ")}.`
      : "";
    const grid = make(
      "div",
      {
        class: "grid",
        role: "img",
        "aria-label": `${count} feature maps of ${stage.title}. The fields below choose one of their values.`,
        click: (event) => this.#tap(event, stage, number),
      },
      ...stage.tiles,
    );
    if (width > 16) grid.classList.add("large");
    $("maps").append(
      make(
        "section",
        { class: "stage" },
        make("h3", {}, `${stage.title}: ${count} maps of ${height} × ${width}`),
        make("p", {}, make("code", {}, stage.layers[0]), after || "."),
        grid,
      ),
    );
  }

  #tap(event, stage, number) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const channel = stage.tiles.indexOf(tile);
    const isAfter = event.target.matches(".after");
    const [, height, width] = (isAfter ? stage.after : stage.output).shape;
    const canvas = tile.querySelector(isAfter ? ".after" : ".output");
    const box = canvas.getBoundingClientRect();
    const place = (position, start, size, count) =>
      Math.max(0, Math.min(count - 1, Math.floor(((position - start) / size) * count)));
    const row = place(event.clientY, box.top, box.height, height);
    const column = place(event.clientX, box.left, box.width, width);
    const value = isAfter ? largestBehind(stage, channel, row, column) : { row, column };
    this.choose({ stage: number, channel, ...value }, true);
  }
}

// The largest of the values of a map from which one value of the small picture beside it was pooled.
function largestBehind({ output, after }, channel, row, column) {
  const [, height, width] = output.shape;
  const [high, wide] = [height / after.shape[1], width / after.shape[2]];
  let best = { value: -Infinity };
  for (let y = Math.floor(row * high); y < (row + 1) * high && y < height; y++) {
    for (let x = Math.floor(column * wide); x < (column + 1) * wide && x < width; x++) {
      const value = output.values[(channel * height + y) * width + x];
      if (value > best.value) best = { value, row: y, column: x };
    }
  }
  return { row: best.row, column: best.column };
}

// All maps of a convolution have the same scale of colours, so that strong and weak ones differ.
function paintTiles(tiles, name, { shape, values }) {
  const [, height, width] = shape;
  const colours = palette(largest(values));
  tiles.forEach((tile, channel) => {
    const map = values.subarray(channel * height * width, (channel + 1) * height * width);
    paintSigned(tile.querySelector(name), height, width, map, colours);
  });
}

export function shortName(layer) {
  return layer.split("(")[0];
}
