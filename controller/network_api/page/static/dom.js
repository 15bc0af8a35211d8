// Elements of the document, made without any text that is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// An element; attributes whose names begin with "on" are listeners.
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// Name and value of what is known, as a definition list.
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, ...known.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// A text of the declarations, in which names are between backticks.
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

export function button(text, listener, attributes = {}) {
  return make("button", { type: "button", onclick: listener, ...attributes }, text);
}

// A call that comes at most once in so many milliseconds, however often it is asked for.
export function slowly(milliseconds, call) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      call();
    }, milliseconds);
  };
}

export const number = (value) => value.toLocaleString("en");

export const counted = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;
