// Elements of the page.

export const $ = (id) => document.getElementById(id);

// Makes an element with its attributes, and with texts or elements inside it. If the value of an
// attribute is a function, it handles the event of that name. `style` is an object of properties.
export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style")
      Object.entries(value).forEach((each) => element.style.setProperty(...each));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
}

// A number with a fixed count of decimals and a true minus sign. The server sends null for a number
// that is not finite.
export function number(value, decimals = 2) {
  if (value === null) return "not finite";
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
}

export function percent(probability) {
  const text = (100 * probability).toFixed(1);
  return text === "100.0" && probability < 1 ? "> 99.9\u202f%" : `${text}\u202f%`;
}
