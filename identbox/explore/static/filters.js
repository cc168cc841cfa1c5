// The filters of a split: which factors are bound to what, in the address and in the page's side bar.

import { h, visible } from "./dom.js";
import { bars } from "./plots.js";
import { shown } from "./data.js";
import { addressWith, go, query } from "./state.js";

const MARK = "f.";
const MOST_CHIPS = 12;

// The filters in the address: f.NAME=0,2 for classes and f.NAME=0.1..0.4 for numbers.
export function filtersOf(split) {
  const found = [];
  for (const [key, text] of query()) {
    const column = key.startsWith(MARK) ? split.find(key.slice(MARK.length)) : -1;
    if (column < 0) continue;
    const range = text.split("..").map(Number);
    if (text.includes("..") && range.length === 2 && range.every((x) => !Number.isNaN(x))) {
      found.push({ column, low: range[0], high: range[1] });
    } else {
      found.push({ column, classes: text.split(",").map(Number).filter((x) => !Number.isNaN(x)) });
    }
  }
  return found;
}

export function sortOf(split) {
  const text = query().get("sort") ?? "";
  const down = text.startsWith("-");
  const column = split.find(down ? text.slice(1) : text);
  return column < 0 ? null : { column, down };
}

export function sortChoice(split) {
  const now = query().get("sort") ?? "";
  const options = [["", "as in the file"]];
  for (const column of split.columns.filter((one) => one.varies)) {
    options.push([column.name, `${visible(column.label)} ↑`], [`-${column.name}`, `${visible(column.label)} ↓`]);
  }
  return h("label", { class: "field" }, "Sort",
    h("select", { id: "sort", onchange: (event) => go({ sort: event.target.value }) },
      options.map(([value, words]) => h("option", { value, selected: value === now }, words))));
}

export const clearAll = () => {
  const changes = { q: null };
  for (const key of query().keys()) if (key.startsWith(MARK)) changes[key] = null;
  go(changes);
};

// One factor with its histogram and what binds it. It stays in the page and is brought up to date, so that a slider
// that somebody holds is not taken away.
export class FactorFilter {
  constructor(split, place) {
    this.column = split.columns[place];
    this.key = MARK + this.column.name;
    this.chips = [];
    const { column } = this;
    const causes = column.causes.map((name) => visible(name.replace("object_", "").replaceAll("_", " "))).join(", ");
    const head = h("p", { class: "factor-name" },
      h("span", { class: `role ${column.role}`, title: column.role }), visible(column.label),
      causes ? h("span", { class: "muted caused" }, ` caused by ${causes}`) : null,
      h("span", { class: "muted where" }, column.view === "both" ? "" : column.view));
    const few = column.kind === "class" && column.high < MOST_CHIPS;
    this.element = h("div", { class: "factor", "data-factor": column.name }, head, few ? this.makeChips() : this.makeRange());
  }

  makeChips() {
    const { column } = this;
    for (let value = 0; value <= column.high; value++) {
      this.chips.push(h("button", { type: "button", class: "chip", onclick: () => this.toggle(value) }, visible(shown(column, value))));
    }
    return h("div", { class: "chips" }, this.chips);
  }

  chosen() {
    const text = query().get(this.key);
    return new Set(text === null ? [] : text.split(",").map(Number));
  }

  toggle(value) {
    const next = this.chosen();
    next.has(value) ? next.delete(value) : next.add(value);
    go({ [this.key]: next.size ? [...next].sort((a, b) => a - b).join(",") : null });
  }

  makeRange() {
    const { column } = this;
    const step = column.kind === "class" ? 1 : (column.high - column.low || 1) / 200;
    const slider = (value, words) => h("input", {
      type: "range", min: column.low, max: column.high, step, value, "aria-label": `${visible(column.label)}: ${words}`,
      oninput: () => this.bind(),
    });
    this.from = slider(column.low, "least");
    this.to = slider(column.high, "most");
    this.ends = h("span", { class: "ends" });
    this.drawing = h("div", { class: "drawing" });
    return h("div", { class: "range" }, this.drawing, h("div", { class: "double" }, this.from, this.to), this.ends);
  }

  bind() {
    const { column } = this;
    const ends = [Number(this.from.value), Number(this.to.value)].sort((a, b) => a - b);
    const all = ends[0] <= column.low && ends[1] >= column.high;
    this.ends.textContent = ends.map((x) => shown(column, x)).join(" – ");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => go({ [this.key]: all ? null : ends.map((x) => Number(x.toPrecision(6))).join("..") }), 50);
  }

  update(values, rows) {
    const { column } = this;
    const drawn = bars(column, values, rows);
    this.element.classList.toggle("bound", query().has(this.key));
    if (this.chips.length) {
      const chosen = this.chosen(), most = Math.max(1, ...drawn.counts);
      this.chips.forEach((chip, value) => {
        chip.setAttribute("aria-pressed", String(chosen.has(value)));
        chip.title = `${drawn.counts[value]} samples`;
        chip.style.setProperty("--v", `${Math.round((100 * drawn.counts[value]) / most)}%`);
      });
      return;
    }
    this.drawing.replaceChildren(drawn.svg);
    const bound = query().get(this.key)?.split("..").map(Number);
    const ends = bound?.length === 2 ? bound : [column.low, column.high];
    if (![this.from, this.to].includes(document.activeElement)) [this.from.value, this.to.value] = ends;
    this.ends.textContent = ends.map((x) => shown(column, x)).join(" – ");
  }
}

// Links that take one filter away.
export function boundList(split, filters) {
  return filters.map((filter) => {
    const column = split.columns[filter.column];
    const words = filter.classes
      ? filter.classes.map((value) => visible(shown(column, value))).join(" or ")
      : `${shown(column, filter.low)} to ${shown(column, filter.high)}`;
    return h("a", { class: "bound-one", "data-go": true, href: addressWith({ [MARK + column.name]: null }), title: "take this filter away" },
      `${visible(column.label)}: ${words}`, h("span", { "aria-hidden": "true" }, " ×"));
  });
}
