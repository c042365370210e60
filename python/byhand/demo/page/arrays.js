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
  const size = height * width;
  const channels = values.length / size;
  const [perPixel, perChannel] = first ? [1, size] : [channels, 1];
  paint(canvas, height, width, (data) => {
    for (let i = 0; i < size; i++) {
      for (let channel = 0; channel < 3; channel++) {
        const own = channels < 3 ? 0 : channel;
        data[4 * i + channel] = values[i * perPixel + own * perChannel];
      }
    }
  });
}

// Signed values have one of this number of shades on each side of zero.
const SHADES = 128;

// Paints signed values. `colours` are those of `palette`.
export function paintSigned(canvas, height, width, values, colours) {
  const { most, shades } = colours;
  paint(canvas, height, width, (data) => {
    for (let i = 0; i < height * width; i++) {
      const share = Math.max(-1, Math.min(1, values[i] / most));
      const start = 3 * Math.round(SHADES * (1 + share));
      data[4 * i] = shades[start];
      data[4 * i + 1] = shades[start + 1];
      data[4 * i + 2] = shades[start + 2];
    }
  });
}

// The colours of signed values in the reader's theme, as style.css defines them: zero has the colour
// of the page, and a value of -most or most has full colour.
export function palette(most) {
  const style = getComputedStyle(document.documentElement);
  const parts = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
  const [zero, positive, negative] = ["--zero", "--positive", "--negative"].map(parts);
  const shades = new Uint8Array(3 * (2 * SHADES + 1));
  for (let i = -SHADES; i <= SHADES; i++) {
    const share = Math.abs(i / SHADES) ** 0.8; // small values are easier to see
    const full = i < 0 ? negative : positive;
    shades.set(
      zero.map((part, k) => part + (full[k] - part) * share),
      3 * (i + SHADES),
    );
  }
  return { most: most || 1, shades };
}

// Returns the properties of an element on the colour of a signed value. Its text is black or white,
// whichever has the higher contrast.
export function tint(value, { most, shades }) {
  const start = 3 * Math.round(SHADES * (1 + Math.max(-1, Math.min(1, value / most))));
  const colour = shades.slice(start, start + 3);
  const linear = [...colour].map((part) => ((part / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return { background: `rgb(${colour})`, color: luminance > 0.179 ? "#000" : "#fff" };
}

export function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function paint(canvas, height, width, fill) {
  // Even a width that is set to its old value makes the browser lay out the page again.
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const pixels = new ImageData(new Uint8ClampedArray(4 * height * width).fill(255), width);
  fill(pixels.data);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
