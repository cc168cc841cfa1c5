// The variables of a process as sliders and choices, and the sample that they start from.
//
// The address has all of it: base=test:3, m.object_xpos=2, and cut=1 where what a moved variable causes stays.

import { h, visible } from "./dom.js";
import { colourOf, shown } from "./data.js";
import { go, query } from "./state.js";

const MARK = "m.";
const MOST_CHIPS = 9;
const ROLES = {
  content: "Content: the same in both views",
  style: "Style: passed on through a change",
  specific: "Specific to one view",
};

// What the address asks for, as the server reads it.
export function askedOf(table) {
  const [split, row] = (query().get("base") ?? `${Object.keys(table.splits).at(-1) ?? ""}:0`).split(":");
  const moves = {};
  for (const variable of table.variables) {
    const text = query().get(MARK + variable.name);
    if (text === null) continue;
    const to = text.split(",").map(Number);
    if (to.every((x) => !Number.isNaN(x))) moves[variable.name] = { to, follow: query().get("cut") !== "1" };
  }
  return { split, row: Math.max(0, Math.floor(Number(row)) || 0), moves };
}

export class Controls {
  constructor(table) {
    this.table = table;
    this.parts = new Map();
    const groups = ["content", "style", "specific"].map((role) => {
      const own = table.variables.filter((variable) => variable.role === role);
      return own.length ? [h("h3", { class: "role-title" }, ROLES[role]), own.map((one) => this.make(one))] : [];
    });
    this.element = h("div", { class: "controls" }, this.start(), this.choiceOfCut(), groups.flat(2));
  }

  start() {
    const splits = Object.keys(this.table.splits);
    const now = askedOf(this.table);
    this.split = h("select", { "aria-label": "split", id: "base-split", onchange: () => this.begin() },
      [...splits.map((name) => [name, name]), ["", splits.length ? "a new draw" : "draw"]].map(([value, words]) =>
        h("option", { value, selected: value === now.split }, words)));
    this.row = h("input", { type: "number", min: 0, step: 1, value: now.row, "aria-label": "sample", id: "base-row", onchange: () => this.begin() });
    return h("div", { class: "start-from" }, "Start from", this.split, this.row,
      h("button", { type: "button", onclick: () => this.random() }, "Random"),
      h("button", { type: "button", class: "quiet", onclick: () => this.clear() }, "Move all back"));
  }

  begin(row = Number(this.row.value)) {
    go({ base: `${this.split.value}:${Math.max(0, Math.floor(row) || 0)}` });
  }

  random() {
    this.begin(Math.floor(Math.random() * (this.table.splits[this.split.value] ?? 100000)));
  }

  clear() {
    go(Object.fromEntries(this.table.variables.map((variable) => [MARK + variable.name, null])));
  }

  choiceOfCut() {
    const one = (value, words, small) => h("label", null,
      h("input", { type: "radio", name: "cut", value, checked: (query().get("cut") ?? "") === value, onchange: () => go({ cut: value }) }),
      h("span", null, words, " ", h("small", null, small)));
    return h("fieldset", { class: "switch" }, h("legend", null, "What a moved variable causes"),
      one("", "follows", "do-intervention"), one("1", "stays as it was", "cut, appendix A.6"));
  }

  make(variable) {
    const effects = variable.effects.map((name) => visible(name.replace("object_", "").replaceAll("_", " ")));
    const output = h("output");
    const back = h("button", { type: "button", class: "quiet", title: "move back", "aria-label": `move ${visible(variable.label)} back`, onclick: () => go({ [MARK + variable.name]: null }) }, "↺");
    const fields = Array.from({ length: variable.dim }, (_, at) => this.field(variable, at));
    const element = h("div", { class: "variable", "data-variable": variable.name },
      h("p", { class: "variable-head" },
        h("span", { class: `role ${variable.role}` }), h("span", { class: "variable-name", title: visible(variable.distribution) }, visible(variable.label)),
        effects.length ? h("span", { class: "muted caused" }, `causes ${effects.join(", ")}`) : null,
        output, back),
      fields.map((field) => field.element));
    this.parts.set(variable.name, { variable, element, output, back, fields });
    return element;
  }

  field(variable, at) {
    const label = `${visible(variable.label)}${variable.dim > 1 ? `, component ${at + 1}` : ""}`;
    if (variable.kind === "class" && variable.high < MOST_CHIPS) {
      const buttons = [];
      for (let value = 0; value <= variable.high; value++) {
        buttons.push(h("button", { type: "button", class: "chip", onclick: () => this.move(variable, at, value) }, visible(shown(variable, value))));
      }
      return {
        element: h("div", { class: "chips", role: "group", "aria-label": label }, buttons),
        set: (value) => buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === value))),
      };
    }
    const slider = h("input", {
      type: "range", min: variable.low, max: variable.high, step: variable.kind === "class" ? 1 : (variable.high - variable.low) / 400,
      "aria-label": label, oninput: (event) => this.move(variable, at, Number(event.target.value)),
    });
    const line = colourOf(variable, 0) ? h("div", { class: "hue-line", vars: { background: hueLine(variable) } }) : null;
    return { element: h("div", null, slider, line), set: (value) => { if (document.activeElement !== slider || Number(slider.value) !== value) slider.value = value; } };
  }

  move(variable, at, value) {
    const now = this.values?.[variable.name] ?? Array(variable.dim).fill(0);
    const to = now.map((old, k) => (k === at ? value : old)).map((x) => Number(x.toPrecision(8)));
    this.values = { ...this.values, [variable.name]: to };
    go({ [MARK + variable.name]: to.join(",") });
  }

  // Show the values that the server computed: `answer` is that of scene/state.
  show(answer) {
    this.values = { ...answer.after.values };
    for (const [name, part] of this.parts) {
      const value = answer.after.values[name];
      const words = value.slice(0, 3).map((x) => shown(part.variable, x)).join(", ");
      part.output.textContent = visible(words) + (value.length > 3 ? " …" : "");
      part.element.classList.toggle("moved", answer.moved.includes(name));
      part.element.classList.toggle("followed", answer.followed.includes(name));
      part.back.style.setProperty("visibility", query().has(MARK + name) ? "visible" : "hidden");
      part.fields.forEach((field, at) => field.set(value[at]));
    }
    const asked = askedOf(this.table);
    if (document.activeElement !== this.row) this.row.value = asked.row;
    this.split.value = asked.split;
    for (const radio of this.element.querySelectorAll("[name=cut]")) radio.checked = radio.value === (query().get("cut") ?? "");
  }
}

const hueLine = (variable) => `linear-gradient(90deg, ${Array.from({ length: 13 }, (_, k) =>
  colourOf(variable, variable.low + (k / 12) * (variable.high - variable.low))).join(", ")})`;
