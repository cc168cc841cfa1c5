// The scene, live: one sample before and after some of its variables are moved.

import { h, say, visible } from "./dom.js";
import { ask, readJson, shown } from "./data.js";
import { Controls, askedOf } from "./controls.js";

const REST = 160; // milliseconds without a change, after which the full image is asked for
const client = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16)).join("");

// An image of one place of the page. One request is on its way at a time; of those that come meanwhile the newest counts.
export class LiveImage {
  constructor(which, title, onImage = () => {}) {
    this.which = which;
    this.onImage = onImage;
    this.canvas = h("canvas", { class: "picture", width: 224, height: 224, role: "img", "aria-label": `${title}: the rendered image` });
    this.time = h("span");
    this.element = h("figure", { "data-which": which }, h("figcaption", null, h("b", null, title), this.time), this.canvas);
  }

  // Ask for the image of a state; quick while it changes, in full after a rest.
  want(asked) {
    const key = JSON.stringify(this.which === "before" ? { ...asked, moves: {} } : asked);
    if (key === this.key) return;
    this.key = key;
    this.asked = asked;
    this.next = { asked, quality: "quick" };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.next = { asked, quality: "full" }; this.send(); }, REST);
    this.send();
  }

  async send() {
    if (this.sending || !this.next) return;
    const wanted = this.next;
    this.next = null;
    this.sending = true;
    const begun = performance.now();
    try {
      const answer = await ask("scene/render", { ...wanted.asked, which: this.which, quality: wanted.quality, client });
      if (answer.status === 200) {
        await this.paint(await answer.blob());
        const seconds = ((performance.now() - begun) / 1000).toFixed(2);
        this.time.textContent = `${wanted.quality}, ${seconds} s`;
        Object.assign(this.element.dataset, { quality: wanted.quality, seconds, key: JSON.stringify(wanted.asked.moves) });
        this.onImage();
      }
    } catch (error) {
      say(error.message);
      this.time.textContent = "no image";
      this.next = null;
    }
    this.sending = false;
    this.send();
  }

  async paint(blob) {
    const image = await createImageBitmap(blob);
    if (this.canvas.width !== image.width) this.canvas.width = this.canvas.height = image.width;
    this.canvas.getContext("2d").drawImage(image, 0, 0);
    image.close();
  }
}

// The difference of two images, pixel by pixel, four times as strong.
export function drawDifference(target, one, other) {
  const side = Math.max(one.width, other.width);
  const pixels = [one, other].map((canvas) => {
    const scaled = new OffscreenCanvas(side, side).getContext("2d", { willReadFrequently: true });
    scaled.drawImage(canvas, 0, 0, side, side);
    return scaled.getImageData(0, 0, side, side).data;
  });
  const made = new ImageData(side, side);
  let differing = 0;
  for (let at = 0; at < made.data.length; at += 4) {
    let most = 0;
    for (let k = 0; k < 3; k++) {
      const gap = Math.abs(pixels[0][at + k] - pixels[1][at + k]);
      most = Math.max(most, gap);
      made.data[at + k] = Math.min(255, 4 * gap);
    }
    made.data[at + 3] = 255;
    if (most > 8) differing++;
  }
  target.width = target.height = side;
  target.getContext("2d").putImageData(made, 0, 0);
  return differing / (side * side);
}

export class ScenePage {
  constructor(table) {
    this.table = table;
    this.controls = new Controls(table);
    const compare = () => this.compare();
    this.before = new LiveImage("before", "Before", compare);
    this.after = new LiveImage("after", "After", compare);
    this.gap = h("canvas", { class: "picture", width: 224, height: 224, role: "img", "aria-label": "Difference of the images" });
    this.share = h("span");
    this.sentences = h("div", { class: "sentences" });
    this.changes = h("div", { class: "changes" });
    this.renderer = h("p", { class: "renderer", role: "status" });
    const images = table.without
      ? h("p", { class: "muted" }, `No image: ${visible(table.without)}. The variables move all the same.`)
      : h("div", { class: "views" }, this.before.element, this.after.element,
        h("figure", { "data-which": "difference" }, h("figcaption", null, h("b", null, "Difference"), this.share), this.gap));
    this.values = h("div", { class: "of-model" });
    this.stage = h("div", { class: "stage" }, images, this.renderer, this.sentences, this.changes, this.values);
    this.element = h("div", { class: "scene" }, this.controls.element, this.stage);
    this.turn = 0;
  }

  async update() {
    const asked = askedOf(this.table);
    const turn = ++this.turn;
    if (!this.table.without) {
      this.before.want(asked);
      this.after.want(asked);
      this.watch();
    }
    const answer = await (await ask("scene/state", asked)).json();
    if (turn !== this.turn) return;
    this.controls.show(answer);
    this.showSentences(answer);
    this.showChanges(answer);
    if (this.table.without) this.showValues(answer);
    this.onAnswer?.(asked, answer);
  }

  pause() {
    clearInterval(this.watching);
    this.watching = undefined;
  }

  // What the renderer does, while this page is shown.
  watch() {
    if (this.watching) return;
    const look = async () => {
      if (!this.element.isConnected) return this.pause();
      try {
        const status = await readJson("scene/status");
        const words = { starting: "The renderer starts …", failed: status.note, "not started": "The renderer starts …" }[status.state];
        this.renderer.textContent = visible([words ?? `${status.rendered} ${status.rendered === 1 ? "image" : "images"} rendered.`, status.state === "failed" ? "" : status.note && `${status.note}.`, status.remark && `${status.remark}.`].filter(Boolean).join(" "));
        this.renderer.classList.toggle("bad", status.state === "failed");
        this.renderer.dataset.replaced = status.replaced;
        this.renderer.dataset.rendered = status.rendered;
      } catch {
        this.renderer.textContent = "The server does not answer.";
      }
    };
    this.watching = setInterval(look, 1000);
    look();
  }

  compare() {
    const share = drawDifference(this.gap, this.before.canvas, this.after.canvas);
    this.share.textContent = `${(100 * share).toFixed(0)}% of the pixels`;
  }

  showSentences(answer) {
    if (!answer.after.sentence) return this.sentences.replaceChildren();
    const [old, now] = [answer.before.sentence, answer.after.sentence].map((text) => text.split(" "));
    const marked = now.map((word, at) => [old.includes(word) ? visible(word) : h("mark", null, visible(word)), at < now.length - 1 ? " " : ""]);
    this.sentences.replaceChildren(
      h("p", { "data-sentence": "before" }, h("span", { class: "muted" }, "Before"), visible(answer.before.sentence)),
      h("p", { "data-sentence": "after" }, h("span", { class: "muted" }, "After"), marked.flat()));
  }

  showChanges(answer) {
    const line = (name, verb) => {
      const variable = this.table.variables.find((one) => one.name === name);
      const words = (table) => table.values[name].slice(0, 3).map((x) => (variable ? shown(variable, x) : String(x))).join(", ");
      return h("li", null, h("b", null, visible(variable?.label ?? name)), ` ${verb}: ${visible(words(answer.before))} → ${visible(words(answer.after))}`);
    };
    const parts = [...answer.moved.map((name) => line(name, "moved")), ...answer.followed.map((name) => line(name, "followed"))];
    this.changes.replaceChildren(parts.length ? h("ul", null, parts) : h("p", { class: "muted" }, "Move a variable: what it causes follows, and all else stays as it is."));
  }

  // Where there is no image: each view's values before and after.
  showValues(answer) {
    const cell = (table, view, name) => (table.seen[view]?.[name] ?? table.values[name]).map((x) => x.toFixed(3)).join(", ");
    const rows = this.table.views.flatMap((view) => this.table.variables.filter((v) => !v.view || v.view === view).map((v) =>
      h("tr", { class: answer.moved.includes(v.name) ? "moved" : answer.followed.includes(v.name) ? "followed" : null },
        h("th", { scope: "row" }, `view ${visible(view)}`), h("td", null, visible(v.label)), h("td", null, cell(answer.before, view, v.name)), h("td", null, cell(answer.after, view, v.name)))));
    this.values.replaceChildren(h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Values" },
      h("table", { class: "side-values" }, h("thead", null, h("tr", null, ["view", "variable", "before", "after"].map((w) => h("th", { scope: "col" }, w)))), h("tbody", null, rows))));
  }
}
