// The encoder, live: what a trained model makes of the present image and sentence.

import { h, number, say, visible } from "./dom.js";
import { ask, readJson, shown } from "./data.js";
import { ScenePage } from "./scene.js";
import { go, query } from "./state.js";

const client = String(Math.random()).slice(2, 12);

export class EncoderPage {
  // `split` is that of the training samples, for the images of the nearest ones.
  constructor(info, split) {
    this.names = info.encoders;
    this.table = info.scene;
    this.split = split;
    this.scene = new ScenePage(info.scene);
    this.scene.onAnswer = (asked) => this.want(asked);
    this.element = this.scene.element;
    this.choice = h("select", { id: "encoder-run", "aria-label": "run", onchange: (event) => go({ encoder: event.target.value }) },
      this.names.map((name, at) => h("option", { value: at }, visible(name))));
    this.status = h("p", { class: "renderer", role: "status" });
    this.found = h("div", { class: "read" });
    this.scene.values.append(h("section", { class: "encoder" },
      h("h2", null, "What the model reads "), h("p", { class: "axes" }, "Run", this.choice), this.status, this.found));
  }

  get place() {
    const place = Number(query().get("encoder") ?? 0);
    return Number.isInteger(place) && place >= 0 && place < this.names.length ? place : 0;
  }

  async update() {
    this.choice.value = this.place;
    if (this.ready !== this.place) {
      this.ready = undefined;
      this.load();
    }
    await this.scene.update();
  }

  pause() {
    this.scene.pause();
    clearTimeout(this.timer);
  }

  async load() {
    const place = this.place;
    try {
      const status = await readJson(`encoders/${place}/status`);
      if (place !== this.place) return;
      this.element.dataset.encoder = status.state;
      this.status.textContent = visible(status.state === "ready" ? "" : `${status.state}: ${status.note}`);
      if (status.state === "ready") {
        this.ready = place;
        if (this.asked) this.want(this.asked);
      } else if (status.state !== "failed") this.timer = setTimeout(() => this.load(), 500);
    } catch (error) {
      this.status.textContent = visible(error.message);
    }
  }

  want(asked) {
    this.asked = asked;
    if (this.ready === undefined) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(asked), 200);
  }

  async read(asked) {
    const begun = performance.now();
    try {
      const answer = await ask(`encoders/${this.place}/read`, { ...asked, client });
      if (answer.status !== 200) return; // a newer one is on its way
      const found = await answer.json();
      if (this.asked !== asked) return;
      this.found.replaceChildren(this.predicted(found), this.moved(found), this.nearest(found), this.generated(found) ?? "");
      this.found.dataset.seconds = ((performance.now() - begun) / 1000).toFixed(2);
      this.found.dataset.key = JSON.stringify(asked.moves);
    } catch (error) {
      say(error.message);
    }
  }

  // Predicted factors beside the true ones, before and after, with how good the predictor is at all.
  predicted(found) {
    const views = Object.keys(found.views);
    const names = [...new Set(views.flatMap((view) => found.views[view].predicted.map((one) => one.name)))];
    const rows = names.map((name) => {
      const plain = name.replace(" (text)", "");
      const variable = this.table.variables.find((one) => one.name === plain);
      const words = (value) => (value === undefined ? "–" : variable ? shown(variable, value) : Number.isInteger(value) ? String(value) : number(value));
      const truth = found.true[plain]?.[0];
      const cells = views.flatMap((view) => {
        const one = found.views[view].predicted.find((p) => p.name === name);
        if (!one) return [h("td", null, "–"), h("td", null, "")];
        const gain = Math.max(0, (one.score - one.chance) / (1 - one.chance || 1));
        const good = gain > 0.5 && truth !== undefined && near(one.kind, one.values[1], truth);
        return [
          h("td", { class: gain > 0.5 ? (good ? "good" : "bad") : "muted", title: gain > 0.5 ? "" : "this predictor is hardly better than chance" }, `${words(one.values[1])}${gain > 0.5 ? (good ? " ✓" : " ✗") : ""}`),
          h("td", { class: "muted right score", vars: { "--v": `${100 * gain}%` } }, number(one.score, 2)),
        ];
      });
      const changed = JSON.stringify(found.true[plain]) !== JSON.stringify(found.true_before[plain]);
      return h("tr", { class: changed ? "changed" : null, "data-factor": name },
        h("th", { scope: "row" }, visible(variable?.label ?? plain)), h("td", null, visible(words(truth))), cells);
    });
    return h("section", null, h("h3", null, "Predicted beside true"),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Predicted factors" }, h("table", { class: "predicted" },
        h("thead", null, h("tr", null, ["factor", "true"].map((w) => h("th", { scope: "col" }, w)),
          views.flatMap((view) => [h("th", { scope: "col" }, `from ${visible(view)}`), h("th", { scope: "col", class: "right" }, "score")]))),
        h("tbody", null, rows))),
      h("p", { class: "note muted" }, "Of the sample after the moves. Score: R² of numbers, accuracy of classes, of this predictor on test samples. ✓: a class that is right, a number within 0.1; grey: the predictor is hardly better than chance."));
  }

  moved(found) {
    const bars = Object.entries(found.views).map(([view, one]) => {
      const share = one.displacement.share;
      return h("div", { class: "moved-line", "data-view": view, "data-share": share.toFixed(4) }, h("span", null, visible(view)),
        h("span", { class: "meter", vars: { "--v": `${Math.min(100, 100 * share)}%` } }),
        h("b", null, number(share, 2)),
        h("span", { class: "muted" }, `farther than ${Math.round(100 * one.displacement.farther)}% of random pairs`));
    });
    return h("section", null, h("h3", null, "How far the encoding moved"), bars,
      h("p", { class: "note muted" }, "From before to after, in whitened encodings: 0 nothing moves, 1 as far as a random pair of training samples is apart, on average."));
  }

  nearest(found) {
    const rows = Object.entries(found.views).filter(([view]) => ["image", "text"].includes(view)).map(([view, one]) =>
      h("div", null, h("p", { class: "muted near-title" }, `by the ${view === "text" ? "sentence" : "image"}`),
        h("div", { class: "near" }, one.nearest.map(({ row }) => {
          const caption = h("span", { class: "sentence" });
          this.split?.sentence(row).then((text) => (caption.textContent = visible(text)));
          return h("figure", null, h("img", { src: this.split?.imageAddress(row), alt: `training sample ${row}`, loading: "lazy" }), h("figcaption", null, caption));
        }))));
    return h("section", null, h("h3", null, "Nearest training pairs"), rows);
  }

  generated(found) {
    const sources = Object.entries(found.generated);
    if (!sources.length) return null;
    return h("section", { class: "generated" }, h("h3", null, "What the model makes"),
      h("div", { class: "made" }, sources.map(([source, made]) => {
        const { side, levels } = made.image;
        const canvas = h("canvas", { width: side, height: side, class: "picture", role: "img", "aria-label": `image made from the ${source}` });
        const image = new ImageData(side, side);
        for (let pixel = 0; pixel < side * side; pixel++) {
          for (let k = 0; k < 3; k++) image.data[4 * pixel + k] = levels[3 * pixel + k];
          image.data[4 * pixel + 3] = 255;
        }
        canvas.getContext("2d").putImageData(image, 0, 0);
        return h("figure", { "data-source": source }, h("figcaption", null, h("b", null, `from the ${source === "text" ? "sentence" : "image"}`)), canvas, h("p", { class: "said" }, visible(made.text)));
      })),
      h("p", { class: "note muted" }, "The means of the decoders at the mean of the posterior, given one modality."));
  }
}

const near = (kind, value, truth) => kind === "class" ? value === truth
  : kind === "circle" ? Math.min(Math.abs(value - truth), 1 - Math.abs(value - truth)) < 0.1 : Math.abs(value - truth) < 0.1;
