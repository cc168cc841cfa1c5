// Elements of the page. Texts are only ever set as texts: nothing from a dataset or a record becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// An element of HTML: h("p", {class: "note"}, "a text", another element).
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// An element of SVG.
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Characters that a reader would not see as what they are (codes, marks that turn the writing direction) as escapes.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;
export function visible(text) {
  return String(text).replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// A number as it is read: few digits, a true minus.
// At most six digits before and after the point together, of numbers below a hundred thousand.
export function number(x, digits = 3) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const text = Number.isInteger(x) ? String(x) : Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3)
    ? x.toExponential(2) : x.toFixed(Math.min(digits, Math.max(0, 5 - Math.floor(Math.log10(Math.abs(x) || 1)))));
  return text.replace("-", "−");
}

export const count = (n) => n.toLocaleString("en-GB").replaceAll(",", " ");

// A table as the server describes it: columns, rows of cells, notes.
export function table(made) {
  const align = { l: "", r: "right", c: "centre" };
  const cell = (tag, one, place) =>
    h(tag, {
      class: [one.state, align[made.align[place]] ?? ""].filter(Boolean).join(" ") || null,
      title: one.hint || null,
      vars: one.shade === null ? {} : { "--v": `${Math.round(100 * one.shade)}%` },
      scope: tag === "th" ? (place === 0 ? "row" : "col") : null,
      rowspan: one.reach > 1 ? one.reach : null,
    }, one.face === "bold" ? h("b", null, visible(one.text)) : visible(one.text),
    one.below ? h("small", null, visible(one.below)) : null);
  const rows = made.rows.flatMap((row, at) => [
    made.sections[at] ? h("tr", null, h("th", { colspan: made.columns.length, scope: "rowgroup" }, visible(made.sections[at]))) : null,
    h("tr", null, row.map((one, place) => (one === null ? null : cell(place === 0 ? "th" : "td", one, place))))]).filter(Boolean);
  const inner = h("table", { class: made.shaded ? "shaded" : null },
    h("thead", null, h("tr", null, made.columns.map((one, place) => cell("th", one, place)))),
    h("tbody", null, rows));
  return h("section", { class: "tabled" },
    made.title ? h("h3", null, visible(made.title)) : null,
    made.columns.length ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": visible(made.title || "table") }, inner) : null,
    made.notes.map((note) => h("p", { class: "note muted" }, visible(note))));
}

let hiding = 0;
// A line at the foot of the page, for a while.
export function say(text) {
  const line = document.getElementById("message");
  line.textContent = visible(text);
  line.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => line.classList.remove("shown"), 6000);
}
