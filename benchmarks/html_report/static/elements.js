// Makes elements. Text goes in as text and never as markup, and the page's policy (trusted types) makes sure of it.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "line", "path", "rect"]);

/** Returns an element; attributes that are undefined, null or false are left out, and functions are listeners. */
function el(tag, attributes = {}, ...children) {
  const made = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...present(children));
  return made;
}

/** Returns children without those that are nothing, such as what `condition && element` leaves. */
const present = children => children.flat(Infinity).filter(child => child || child === "");

/** Puts other children into an element; the keyboard stays with what has the same `data-keep`. */
function fill(element, ...children) {
  const kept = element.contains(document.activeElement) ? document.activeElement.dataset.keep : undefined;
  element.replaceChildren(...present(children));
  if (kept) find(`[data-keep="${kept}"]`, element)?.focus({ preventScroll: true });
}

const find = (selector, inside = document) => inside.querySelector(selector);
const findAll = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const percent = share => `${Math.round(1000 * share) / 10}`;
const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

/** Returns the row whose number an address names; undefined if it names none. */
const numbered = (rows, name) => /^\d+$/.test(name ?? "") ? rows[Number(name)] : undefined;
