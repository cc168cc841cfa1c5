// The page of a dataset: its samples in a grid, a sample by itself, and its factors against each other.

import { h, count, visible } from "./dom.js";
import { Split } from "./data.js";
import { FactorFilter, boundList, clearAll, filtersOf, sortChoice, sortOf } from "./filters.js";
import { factorsView } from "./factors.js";
import { Grid } from "./grid.js";
import { sampleView } from "./sample.js";
import { addressWith, go, query } from "./state.js";

export class DatasetPage {
  constructor(info, live) {
    this.info = info;
    this.splits = info.splits.map((table, place) => new Split(place, table, info.chunk, live));
    this.split = null;
    this.busy = 0;
    this.element = h("div", { class: "dataset" });
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.grid?.close();
  }

  get chosenSplit() {
    const name = query().get("split");
    return this.splits.find((split) => split.name === name) ?? this.splits[0];
  }

  async update() {
    const split = this.chosenSplit;
    if (split !== this.split) this.build(split);
    const turn = ++this.busy;
    const begun = performance.now();
    const filters = filtersOf(split);
    const rows = await split.select(filters, sortOf(split), query().get("q") ?? "");
    if (turn !== this.busy) return; // a newer view is on its way
    this.rows = rows;
    this.counted.textContent = `${count(rows.length)} of ${count(split.n)}`;
    this.counted.dataset.milliseconds = Math.round(performance.now() - begun);
    this.bound.replaceChildren(...boundList(split, filters));
    this.reset.hidden = !filters.length && !query().get("q");
    const at = query().get("sample"), view = query().get("view");
    const page = at !== null ? "sample" : view === "factors" ? "factors" : "grid";
    const sample = page === "sample" ? await this.sampleOf(Number(at)) : null;
    const factors = page === "factors" ? await factorsView(split, rows) : null;
    if (turn !== this.busy) return;
    this.element.dataset.shows = page;
    for (const tab of this.views.children) tab.setAttribute("aria-current", String(tab.dataset.view === (page === "sample" ? "grid" : page)));
    if (sample && this.returnTo === undefined) this.returnTo = scrollY;
    this.sample.replaceChildren(...(sample ? [sample] : []));
    if (sample) scrollTo({ top: 0 });
    this.factors.replaceChildren(...(factors ? [factors] : []));
    if (page !== "sample") this.lastPlace = null;
    this.grid.element.hidden = page !== "grid";
    if (page === "grid") this.showGrid(rows);
    if (!this.begun) await this.grid.settled(); // what is looked at first comes first
    this.begun = true;
    if (turn !== this.busy) return;
    await this.updateFilters(rows, turn);
  }

  showGrid(rows) {
    const same = this.shown && this.shown.length === rows.length && this.shown.every((row, at) => row === rows[at]);
    if (same) this.grid.draw();
    else this.grid.show(rows);
    this.shown = rows;
    this.empty.hidden = rows.length > 0;
    if (this.returnTo !== undefined && same) scrollTo({ top: this.returnTo });
    this.returnTo = undefined;
  }

  async sampleOf(row) {
    const known = Number.isInteger(row) && row >= 0 && row < this.split.n;
    return known
      ? sampleView(this, row)
      : h("p", null, "There is no such sample in this split. ", h("a", { href: addressWith({ sample: null }), "data-go": true }, "All samples"));
  }

  async updateFilters(rows, turn) {
    // All columns are asked for at once; each histogram is drawn as its column comes.
    const columns = this.factorFilters.map((one) => [one, this.split.values(one.place)]);
    for (const [one, coming] of columns) {
      const values = await coming;
      if (turn !== this.busy) return;
      one.filter.update(values, rows);
    }
  }

  build(split) {
    this.split = split;
    this.shown = null;
    this.grid?.close();
    this.grid = new Grid(split);
    this.factorFilters = split.columns.flatMap((column, place) =>
      column.varies ? [{ place, filter: new FactorFilter(split, place) }] : []);
    this.counted = h("output", { class: "counted", "aria-live": "polite" });
    this.bound = h("span", { class: "bound-all" });
    this.reset = h("button", { type: "button", class: "quiet", onclick: clearAll, hidden: true }, "Clear");
    this.sample = h("div", { class: "sample-place" });
    this.factors = h("div", { class: "factors-place" });
    this.empty = h("p", { class: "empty", hidden: true }, "No sample fits all filters.");
    const wide = matchMedia("(min-width: 60rem)").matches;
    const side = h("details", { class: "side", open: wide, ontoggle: () => this.grid.draw() },
      h("summary", null, "Filter and sort"),
      this.splitChoice(), sortChoice(split), this.search(),
      this.factorFilters.map((one) => one.filter.element), this.facts());
    this.element.replaceChildren(side, h("div", { class: "content-place" },
      h("div", { class: "tools" }, this.viewTabs(), this.counted, this.reset, this.bound, h("span", { class: "grow" }),
        h("button", { type: "button", onclick: () => this.random(), title: "key: r" }, "Random sample")),
      this.factors, this.sample, this.empty, this.grid.element));
  }

  viewTabs() {
    const link = (view, words) => h("a", {
      href: addressWith({ view: view === "grid" ? null : view, sample: null }), "data-go": true, "data-view": view,
      onclick: (event) => event.currentTarget.setAttribute("href", addressWith({ view: view === "grid" ? null : view, sample: null })),
    }, words);
    this.views = h("span", { class: "tabs" }, link("grid", "Samples"), link("factors", "Factors"));
    return this.views;
  }

  splitChoice() {
    return h("label", { class: "field" }, "Split",
      h("select", { id: "split", onchange: (event) => go({ split: event.target.value, sample: null }, { push: true }) },
        this.splits.map((split) => h("option", { value: split.name, selected: split === this.split },
          `${visible(split.name)} (${count(split.n)}${split.table.whole > split.n ? ` of ${count(split.table.whole)}` : ""})`))));
  }

  search() {
    let timer = 0;
    return h("label", { class: "field" }, "Words",
      h("input", {
        type: "search", id: "words", value: query().get("q") ?? "", placeholder: "in the sentence", autocomplete: "off", spellcheck: "false",
        oninput: (event) => {
          clearTimeout(timer);
          const words = event.target.value;
          timer = setTimeout(() => go({ q: words || null }), 150);
        },
      }));
  }

  facts() {
    return h("dl", { class: "facts" }, this.info.facts.flatMap(([name, value]) => [h("dt", null, visible(name)), h("dd", null, visible(value))]));
  }

  random() {
    if (!this.rows?.length) return;
    go({ sample: this.rows[Math.floor(Math.random() * this.rows.length)] }, { push: true });
  }

  // The sample before or after this one, in the order of the grid.
  neighbour(row, step) {
    const at = this.rows.indexOf(row);
    return at < 0 ? undefined : this.rows[at + step];
  }

  key(event) {
    if (event.target.closest("input, select, textarea") || event.metaKey || event.ctrlKey || event.altKey) return;
    if (!this.element.isConnected) return;
    const row = query().get("sample");
    if (event.key === "r") this.random();
    if (event.key === "/") {
      event.preventDefault();
      this.element.querySelector("details.side").open = true;
      document.getElementById("words").focus();
    }
    if (row === null) return;
    if (event.key === "Escape") go({ sample: null }, { push: true });
    const next = this.neighbour(Number(row), { ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0);
    if (["ArrowRight", "ArrowLeft"].includes(event.key) && next !== undefined) go({ sample: next });
  }
}
