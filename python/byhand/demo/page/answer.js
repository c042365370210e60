// The answer: the symbols that were read, and the probabilities of the selected one.

import { $, make, number, percent } from "./elements.js";

// Shows a reading. `select(i)` is called if the reader of the page chooses symbol i.
export function showAnswer({ symbols, is_stroke }, selected, model, select) {
  const symbol = symbols[selected];
  const digits = symbols.map((each, i) =>
    symbols.length === 1
      ? make("span", {}, each.answer)
      : make(
          "button",
          {
            type: "button",
            "aria-pressed": String(i === selected),
            "aria-label": `Symbol ${i + 1}: ${each.answer}. Show its details`,
            click: () => select(i),
          },
          each.answer,
        ),
  );
  const longest = Math.max(...symbols.map((each) => each.answer.length));
  $("digits").className = longest > 2 ? "words" : "";
  replaceKeepingFocus($("digits"), digits);
  $("sentence").textContent = sentence(symbols, selected, is_stroke);
  showBars(symbol, model);
}

export function showNoAnswer(text) {
  $("digits").className = "empty";
  $("digits").replaceChildren(make("span", {}, "?"));
  $("sentence").textContent = text;
  $("bars").replaceChildren();
}

// What a screen reader says after a stroke.
export function spoken({ symbols }, selected) {
  const text = symbols.map(({ answer }) => answer).join(" ");
  return symbols.length > 1 ? `Read ${text}` : `Read ${text}, ${sureness(symbols[selected])}`;
}

function sentence(symbols, selected, isStroke) {
  const sure = sureness(symbols[selected]);
  const doubt = isStroke ? "" : " It looks like a blob, not like a pen's strokes.";
  if (symbols.length === 1) return sentenceCase(sure) + "." + doubt;
  return `Symbol ${selected + 1} of ${symbols.length} is selected: ${sure}.${doubt}`;
}

function sureness({ probabilities, number: output, class: best }) {
  if (!probabilities) return `the output of the model is ${number(output)}`;
  const probability = probabilities[best];
  const words =
    probability >= 0.95 ? "the model is sure" : probability >= 0.8 ? "fairly sure" : "unsure";
  return `${words}, ${percent(probability)}`;
}

function sentenceCase(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function showBars({ probabilities, class: best }, { class_names: names }) {
  if (!probabilities) return $("bars").replaceChildren();
  const bars = $("bars");
  if (bars.children.length !== names.length) {
    bars.replaceChildren(
      ...names.map((name) =>
        make(
          "li",
          {},
          make("span", { class: "name" }, name),
          make("span", { class: "track" }, make("span", { class: "bar" })),
          make("span", { class: "share" }),
        ),
      ),
    );
  }
  probabilities.forEach((probability, i) => {
    const row = bars.children[i];
    row.classList.toggle("best", i === best);
    row.querySelector(".bar").style.transform = `scaleX(${probability})`;
    row.querySelector(".share").textContent = percent(probability);
  });
}

// Replaces the children of an element. The focus stays on the child with the same number.
function replaceKeepingFocus(parent, children) {
  const focused = [...parent.children].indexOf(document.activeElement);
  parent.replaceChildren(...children);
  children[focused]?.focus();
}
