// The scene of the static version: images that were rendered before, of some samples with one variable moved.

import { h, visible } from "./dom.js";
import { readJson, shown } from "./data.js";
import { go, query } from "./state.js";

export class FramesPage {
  constructor() {
    this.choices = h("div", { class: "frame-choices" });
    this.slider = h("input", { type: "range", min: 0, step: 1, id: "frame-at", "aria-label": "value", oninput: (event) => go({ at: event.target.value }) });
    this.value = h("p", { class: "frame-value" });
    this.views = h("div", { class: "views" });
    // The slider stays where it is, so that nobody who holds it loses it.
    this.element = h("div", { class: "frames" },
      h("p", { class: "muted" }, "These images were rendered before. With identbox explore on your machine any value can be chosen."),
      this.choices, h("div", { class: "frame-slider" }, this.slider), this.value, this.views);
  }

  async update() {
    this.table ??= await readJson("frames.json");
    const { frames, variables } = this.table;
    const rows = [...new Set(frames.map((one) => one.row))];
    const row = rows.includes(Number(query().get("row"))) ? Number(query().get("row")) : rows[0];
    const own = frames.map((one, place) => ({ ...one, place })).filter((one) => one.row === row);
    const still = own.find((one) => !Object.keys(one.moves).length);
    const moved = variables.filter((variable) => own.some((one) => variable.name in one.moves));
    const variable = moved.find((one) => one.name === query().get("variable")) ?? moved[0];
    const steps = own.filter((one) => variable.name in one.moves);
    const at = Math.min(steps.length - 1, Math.max(0, Number(query().get("at") ?? 0) || 0));
    const now = steps[at];
    for (const one of steps) new Image().src = `frames/${one.place}.png`; // so that the slider shows them at once
    const figure = (title, one) => h("figure", null, h("figcaption", null, h("b", null, title)),
      h("img", { class: "picture", src: `frames/${one.place}.png`, alt: `${title}: sample ${row}` }), h("p", { class: "said" }, visible(one.sentence)));
    const label = (one) => visible(shown(variable, one.moves[variable.name][0]));
    this.slider.max = steps.length - 1;
    if (document.activeElement !== this.slider) this.slider.value = at;
    const followed = now.followed.map((name) => variables.find((one) => one.name === name)).filter(Boolean)
      .map((one) => `${visible(one.label)} followed: ${visible(shown(one, still.values[one.name][0]))} → ${visible(shown(one, now.values[one.name][0]))}`);
    const choice = (id, words, options, value, key) => h("label", { class: "field" }, words, h("select", { id, onchange: (event) => go({ [key]: event.target.value, at: null }) },
      options.map(([name, text]) => h("option", { value: name, selected: String(name) === String(value) }, text))));
    this.choices.replaceChildren(
      choice("frame-row", "Sample", rows.map((one) => [one, `${visible(still.split)} ${one}`]), row, "row"),
      choice("frame-variable", "Move", moved.map((one) => [one.name, visible(one.label)]), variable.name, "variable"));
    this.value.replaceChildren(h("b", null, `${visible(variable.label)}: ${label(now)}`), followed.length ? ` · ${followed.join(", ")}` : "");
    this.views.replaceChildren(figure("Before", still), figure("After", now));
  }
}
