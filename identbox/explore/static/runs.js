// Runs and sweeps as they train, their verdicts and their reports.

import { count, h, number, say, table, visible } from "./dom.js";
import { readJson } from "./data.js";
import { curves, spark } from "./plots.js";
import { addressWith, go, query } from "./state.js";

const EVERY = 2000; // milliseconds between two looks
const SIGNS = { finished: "✓", training: "●", stopped: "–" };

export class RunsPage {
  constructor() {
    this.list = h("div", { class: "runs-list" });
    this.detail = h("div", { class: "run-detail" });
    this.counts = h("p", { class: "run-counts", role: "status" });
    this.element = h("div", { class: "runs" }, this.list, this.detail);
    this.opened = null;
  }

  async update() {
    this.timer ??= setInterval(() => this.look(), EVERY);
    await this.look(true);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  async look(changed = false) {
    if (this.looking) return;
    this.looking = true;
    try {
      if (!this.element.isConnected) return this.pause();
      const listed = await readJson("runs.json");
      const text = JSON.stringify(listed);
      const fresh = text !== this.listed;
      this.entries = listed.entries;
      if (fresh || changed) {
        this.listed = text;
        this.showList(listed);
      }
      const name = query().get("run"), kind = query().get("kind");
      const entry = this.entries.find((one) => one.name === name && (!kind || one.kind === kind));
      this.element.dataset.shows = entry ? "detail" : "list";
      if (entry) await this.showDetail(entry, fresh, changed);
      else {
        this.opened = null;
        this.detail.replaceChildren(name !== null ? h("p", { class: "muted" }, "There is no run of this name here.") : this.welcome(listed));
      }
    } catch (error) {
      say(error.message);
      if (error instanceof TypeError) this.pause(); // the server is gone
    } finally {
      this.looking = false;
    }
  }

  welcome(listed) {
    if (!this.entries.length) return h("p", { class: "muted" }, `No run in ${listed.places.map(visible).join(", ")} yet. This page looks again every two seconds.`);
    const training = this.entries.filter((one) => one.state === "training");
    const found = this.entries.filter((one) => one.kind === "verification");
    return h("div", null,
      training.length ? [h("h2", null, "In training"), h("div", { class: "cards" }, training.map((one) => this.card(one)))] : null,
      found.length ? [h("h2", null, "Verdicts"), found.map((one) => verdicts(one))] : null,
      !training.length && !found.length ? h("p", { class: "muted" }, "Choose a run or a sweep.") : null);
  }

  card(entry) {
    return h("a", { class: "card", href: this.address(entry), "data-go": true },
      h("b", null, visible(entry.name)), spark(entry.spark), progress(entry), h("span", { class: "muted" }, `loss ${number(entry.loss)}`));
  }

  address(entry) {
    return addressWith({ run: entry.name, kind: entry.kind });
  }

  showList(listed) {
    const { counts } = listed;
    this.counts.textContent = `${counts.training} in training, ${counts.finished} finished, ${counts.stopped} stopped`;
    const words = (query().get("find") ?? "").toLowerCase();
    const shown = this.entries.filter((one) => one.name.toLowerCase().includes(words));
    const groups = Map.groupBy ? Map.groupBy(shown, groupOf) : shown.reduce((m, one) => m.set(groupOf(one), [...(m.get(groupOf(one)) ?? []), one]), new Map());
    this.search ??= h("input", { type: "search", placeholder: "find a run", "aria-label": "find a run", value: query().get("find") ?? "", oninput: (event) => go({ find: event.target.value || null }) });
    const now = query().get("run"), kind = query().get("kind");
    const parts = [...groups].map(([group, entries]) => h("section", null,
      h("h3", { class: "group-name" }, visible(group || "runs")),
      h("ul", null, entries.map((one) => h("li", null,
        h("a", { href: this.address(one), "data-go": true, class: `run ${one.kind}`, "aria-current": String(one.name === now && (!kind || one.kind === kind)) },
          h("span", { class: `sign ${one.state}`, title: one.state || one.kind }, SIGNS[one.state] ?? (one.kind === "sweep" ? "▤" : "⚖")),
          h("span", { class: "run-name" }, visible(title(one, group))),
          one.kind === "run" ? spark(one.spark) : null,
          h("span", { class: "muted run-number" }, summary(one))))))));
    if (!this.list.firstChild) this.list.append(this.counts, this.search, h("div"));
    this.list.lastChild.replaceChildren(...parts);
  }

  async showDetail(entry, fresh, changed) {
    const key = `${entry.kind} ${entry.name}`;
    if (this.opened === key && !fresh && !changed) return;
    const again = this.opened === key;
    this.opened = key;
    const head = h("div", null, h("p", { class: "back" }, h("a", { href: addressWith({ run: null, kind: null }), "data-go": true }, "All runs")),
      h("h2", { class: "run-title" }, visible(entry.title || entry.name)));
    if (entry.kind === "verification") return this.detail.replaceChildren(head, verdicts(entry));
    if (entry.kind === "sweep") {
      const own = this.entries.filter((one) => one.kind === "run" && one.group === entry.name);
      const losses = own.map((one) => {
        const name = one.name.split("/").at(-1);
        return { name, points: one.spark, kind: name.replace(/-?seed\d+$/, "") || name };
      });
      this.detail.replaceChildren(head, h("p", null, `${entry.done} of ${entry.planned ?? "?"} runs are done.`),
        curves("Training losses of all runs", losses.slice(0, 60), { height: 230 }), await this.report(entry, again, fresh));
      return;
    }
    const found = await readJson(`runs/${entry.id}/curves.json`);
    if (this.opened !== key) return;
    const lines = Object.entries(found.curves);
    const losses = lines.filter(([name]) => name.includes("loss")).map(([name, points]) => ({ name, points }));
    const others = lines.filter(([name]) => !name.includes("loss"));
    const scores = Object.entries(found.scores).map(([name, points]) => ({ name, points }));
    this.detail.replaceChildren(head, progress(entry),
      h("p", { class: "muted" }, [entry.what, entry.seed !== null && entry.seed !== undefined ? `seed ${entry.seed}` : "", duration(entry.seconds)].filter(Boolean).map(visible).join(" · ")),
      h("div", { class: "figures-row" },
        losses.length ? curves("Loss", losses, { unit: "nats" }) : h("p", { class: "muted" }, "No line of metrics yet."),
        scores.length ? curves("Scores of probes", scores, { low: Math.min(0, ...scores.flatMap((one) => one.points.map((p) => p[1] ?? 0)).map((y) => Math.max(y, -0.2))), high: 1 }) : null,
        others.map(([name, points]) => curves(name, [{ name, points }]))),
      await this.report(entry, again, fresh),
      h("details", { class: "configuration" }, h("summary", null, "Configuration"),
        h("dl", { class: "record" }, Object.entries(found.config).flatMap(([name, value]) => [h("dt", null, visible(name)), h("dd", null, visible(value))]))));
  }

  // The report of what is done; it is read once, and again when the list has changed.
  async report(entry, again) {
    if (entry.kind === "run" && entry.state !== "finished") return h("p", { class: "muted" }, "The report comes when the run is finished.");
    if (entry.kind === "sweep" && !entry.done) return h("p", { class: "muted" }, "The report comes when the first run is finished.");
    const key = `${entry.id} ${entry.done ?? ""}`;
    if (!again || this.reportKey !== key) {
      try {
        this.made = await readJson(`runs/${entry.id}/report.json`);
        this.reportKey = key;
      } catch (error) {
        return h("p", { class: "bad" }, visible(error.message));
      }
    }
    const { made } = this;
    return h("section", { class: "report" },
      h("p", { class: "prose" }, visible(made.lead)), made.tables.map(table),
      made.notes.map((note) => h("p", { class: "note muted" }, visible(note))),
      made.figures.length ? h("details", null, h("summary", null, "Figures of the report"),
        made.figures.map((name, at) => h("img", { src: `runs/${entry.id}/figures/${at}.svg`, alt: visible(name), class: "report-figure", loading: "lazy" }))) : null,
      made.provenance.map((line) => h("p", { class: "note muted" }, visible(line))));
  }
}

const groupOf = (one) => (one.kind === "run" ? one.group : one.name);
const title = (one, group) => one.kind === "run" ? one.name.split("/").at(-1) : one.kind === "sweep" ? "sweep" : "verification";

function summary(one) {
  if (one.kind === "sweep") return `${one.done} of ${one.planned ?? "?"}`;
  if (one.kind === "verification") return one.outcome;
  return one.loss === null ? "" : number(one.loss);
}

function progress(entry) {
  const share = entry.state === "finished" ? 1 : entry.steps ? Math.min(1, (entry.step ?? 0) / entry.steps) : 0;
  const left = entry.state === "training" && share > 0 && entry.seconds ? `, about ${duration((entry.seconds * (1 - share)) / share)} left` : "";
  return h("div", { class: `progress ${entry.state}` },
    h("span", { class: "progress-bar", vars: { "--v": `${100 * share}%` } }),
    h("span", { class: "progress-words" }, `${entry.state}, step ${count(entry.step ?? 0)}${entry.steps ? ` of ${count(entry.steps)}` : ""}${left}`));
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// How a verification ended: the class of its colour, and its sign.
const OUTCOMES = {
  passed: ["good", "✓"], failed: ["bad", "✗"], unreadable: ["bad", "✗"], undecided: ["open", "?"], "nothing predicted": ["muted", "–"],
};

function verdicts(entry) {
  const [state, sign] = OUTCOMES[entry.outcome];
  const tally = Object.entries(entry.predictions).filter(([, n]) => n).map(([name, n]) => `${n} ${name}`).join(", ");
  const rows = entry.verdicts.map((group) => h("tr", null,
    h("th", { scope: "row" }, visible(group.name), group.control ? h("small", { class: "muted" }, " control") : null),
    h("td", null, [...new Set(group.outcomes.map((one) => one.predicted))].map(visible).join(", ")),
    h("td", null, tallied(group.outcomes.flatMap((one) => one.views))),
    h("td", { class: group.failure ? "bad" : null }, group.failure ? visible(group.failure) : Object.entries(group.tally).filter(([, n]) => n).map(([name, n]) => `${n} ${visible(name)}`).join(", "))));
  return h("section", { class: "verdicts" },
    h("p", null, h("b", { class: state }, `${sign} ${entry.outcome}`), ` · ${visible(entry.name)}`, tally ? ` · predictions: ${visible(tally)}` : ""),
    rows.length ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Verdicts" }, h("table", null,
      h("thead", null, h("tr", null, ["group", "predicted", "found, over views and seeds", "predictions"].map((w) => h("th", { scope: "col" }, w)))), h("tbody", null, rows))) : null,
    entry.page ? h("p", null, h("a", { href: `runs/${entry.id}/verification.html`, target: "_blank", rel: "noopener" }, "The whole page of the verification")) : null);
}

function tallied(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const states = { identified: "good", "not identified": "bad", undecided: "open" };
  return [...counts].flatMap(([word, n], at) => [at ? ", " : "", h("span", { class: `state ${states[word] ?? ""}` }, `${visible(word)} ${n}×`)]);
}
