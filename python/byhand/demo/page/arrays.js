// Arrays from the server, and how they are painted.

const TYPES = { uint8: Uint8Array, float32: Float32Array };

// Returns the shape, the values (row after row) and the bytes of an array that the server has packed.
export function unpack({ shape, type, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return { shape, bytes, values: new TYPES[type](bytes.buffer) };
}

// Paints pixels from 0 to 255 of shape (H, W), (H, W, channels) or (channels, H, W).
export function paintPixels(canvas, { shape, values }) {
  const first = shape.length === 3 && shape[0] <= 3;
  const [height, width] = first ? shape.slice(1) : shape;
  const channels = (shape[0] * (shape[1] ?? 1) * (shape[2] ?? 1)) / (height * width);
  const [perPixel, perChannel] = first ? [1, height * width] : [channels, 1];
  paint(canvas, height, width, (i) => {
    const value = (channel) => values[i * perPixel + (channels < 3 ? 0 : channel) * perChannel];
    return [value(0), value(1), value(2)];
  });
}

// Paints signed values: the colour of zero is that of the page, and `most` has full colour.
export function paintSigned(canvas, height, width, values, most, colours = palette()) {
  paint(canvas, height, width, (i) => shade(values[i], most, colours));
}

// Returns the colour of a signed value as [red, green, blue].
export function shade(value, most, colours = palette()) {
  const share = Math.min(1, Math.abs(value) / (most || 1)) ** 0.8;
  const full = value < 0 ? colours.negative : colours.positive;
  return colours.zero.map((zero, k) => zero + (full[k] - zero) * share);
}

// Returns the properties of an element on the colour of a signed value. Its text is black or white,
// whichever has the higher contrast.
export function tint(value, most) {
  const colour = shade(value, most).map(Math.round);
  const linear = colour.map((part) => ((part / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return { background: `rgb(${colour})`, color: luminance > 0.179 ? "#000" : "#fff" };
}

export function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function paint(canvas, height, width, colour) {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    pixels.data.set(colour(i), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// The colours of signed values in the reader's theme, as style.css defines them.
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const parts = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
  return { zero: parts("--zero"), positive: parts("--positive"), negative: parts("--negative") };
}
