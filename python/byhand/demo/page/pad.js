// The canvas to draw on.
//
// The strokes are painted twice: on the visible canvas, and on a small one whose pixels are sent to
// the server. The server gets pixels instead of points, because then it need not imitate the pen
// of the browser: it prepares exactly what the reader of the page sees.

// The size of the small canvas, in pixels. Widths of pens and points of strokes are in its units.
export const WIDTH = 300;
export const HEIGHT = 200;
// One unit has this number of pixels on the visible canvas.
const FINE = 4;

export class Pad {
  // `changed(ended)` is called after each change. `ended` is true if no stroke is being drawn.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.pen = 13;
    this.version = 0; // changes with every change of the ink
    this.drawings = [[]]; // the last one is visible, the others are for undo
    this.stroke = null; // the stroke that is being drawn
    canvas.width = WIDTH * FINE;
    canvas.height = HEIGHT * FINE;
    this.visible = canvas.getContext("2d");
    this.visible.scale(FINE, FINE);
    const small = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    this.small = small.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#continue(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#end(event));
    }
  }

  get strokes() {
    return this.drawings.at(-1);
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  // The ink of each pixel, from 0 to 255.
  ink() {
    const { data } = this.small.getImageData(0, 0, WIDTH, HEIGHT);
    const ink = new Uint8Array(WIDTH * HEIGHT);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i + 3]; // the opacity
    return ink;
  }

  clear() {
    if (!this.isEmpty) this.drawings.push([]);
    this.repaint();
    this.changed(true);
  }

  undo() {
    if (this.drawings.length > 1) this.drawings.pop();
    this.repaint();
    this.changed(true);
  }

  repaint() {
    this.version++;
    for (const context of [this.visible, this.small]) {
      context.clearRect(0, 0, WIDTH, HEIGHT);
    }
    for (const stroke of this.strokes) this.#paint(stroke);
  }

  // Shows a picture in place of the drawing.
  show(picture) {
    this.drawings = [[]];
    this.repaint();
    const scale = Math.min(WIDTH / picture.width, HEIGHT / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    this.visible.drawImage(picture, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  }

  #begin(event) {
    if (!event.isPrimary || event.button !== 0) return; // a second finger, or another button
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.stroke = { pen: this.pen, points: [this.#point(event)] };
    this.drawings.push([...this.strokes, this.stroke]);
    this.repaint(); // removes a picture
    this.changed(false);
  }

  #continue(event) {
    if (!this.stroke || !event.isPrimary) return;
    // Between two frames, a browser collects several positions of the pen into one event.
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((each) => this.#point(each));
    const start = this.stroke.points.length;
    this.stroke.points.push(...points);
    this.#paint(this.stroke, start);
    this.version++;
    this.changed(false);
  }

  #end(event) {
    if (!this.stroke || !event.isPrimary) return;
    this.stroke = null;
    this.changed(true);
  }

  #point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * WIDTH, ((event.clientY - top) / height) * HEIGHT];
  }

  // Paints a stroke from point number `start` on. A curve goes through the middle between each two
  // points, and bends towards the points themselves, so that it has no corners.
  #paint({ pen, points }, start = 0) {
    for (const context of [this.visible, this.small]) {
      context.lineWidth = pen;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = getComputedStyle(this.canvas).color;
      context.beginPath();
      for (let i = Math.max(0, start - 1); i < points.length; i++) {
        const [from, at] = [points[Math.max(0, i - 1)], points[i]];
        const before = points[Math.max(0, i - 2)];
        context.moveTo((before[0] + from[0]) / 2, (before[1] + from[1]) / 2);
        context.quadraticCurveTo(...from, (from[0] + at[0]) / 2, (from[1] + at[1]) / 2);
        if (i === points.length - 1) context.lineTo(at[0] + 0.01, at[1]); // a single point is a dot
      }
      context.stroke();
    }
  }
}
