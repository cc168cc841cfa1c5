// A grid of samples that scrolls with the page: only the tiles in sight, and a few around them, are in the document.

import { h, visible } from "./dom.js";
import { addressWith } from "./state.js";

const TALLEST = 12e6; // pixels: beyond it browsers cut elements off, and the scroll bar stands for more than it shows

export class Grid {
  // `open` gets the row of a tile that is chosen.
  constructor(split, { live = true } = {}) {
    this.split = split;
    this.rows = new Uint32Array(0);
    this.tiles = new Map(); // by place in the grid
    this.element = h("div", { class: "grid", role: "list", "aria-label": "Samples" });
    this.draw = this.draw.bind(this);
    this.waiting = false;
    const later = () => {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    };
    this.watch = new AbortController();
    addEventListener("scroll", later, { passive: true, signal: this.watch.signal });
    this.resizing = new ResizeObserver(later);
    this.resizing.observe(this.element);
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  close() {
    this.watch.abort();
    this.resizing.disconnect();
  }

  show(rows) {
    this.rows = rows;
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.draw();
  }

  measure() {
    const width = this.element.clientWidth;
    const gap = width < 500 ? 10 : 16;
    this.across = Math.max(2, Math.floor((width + gap) / (width < 500 ? 165 : 190)));
    this.side = (width - gap * (this.across - 1)) / this.across;
    this.step = this.side + 62 + gap; // an image, three lines of its sentence
    this.gap = gap;
    this.lines = Math.ceil(this.rows.length / this.across);
    this.whole = this.lines * this.step;
    this.height = Math.min(this.whole, TALLEST);
  }

  draw() {
    if (!this.element.isConnected || !this.element.clientWidth) return;
    this.measure();
    this.element.style.setProperty("height", `${this.height}px`);
    this.element.style.setProperty("--side", `${this.side}px`);
    const top = -this.element.getBoundingClientRect().top;
    // Where the grid is taller than an element may be, the place in it follows the share that is scrolled.
    const room = Math.max(1, this.height - innerHeight);
    const offset = this.whole > this.height ? (Math.min(Math.max(top, 0), room) / room) * (this.whole - this.height) : 0;
    const first = Math.max(0, Math.floor((top + offset) / this.step) - 2);
    const last = Math.min(this.lines, Math.ceil((top + offset + innerHeight) / this.step) + 2);
    const from = first * this.across, to = Math.min(this.rows.length, last * this.across);
    for (const [place, tile] of this.tiles) {
      if (place < from || place >= to) {
        tile.firstChild.firstChild.removeAttribute("src"); // an image that is out of sight need not come
        tile.remove();
        this.tiles.delete(place);
      }
    }
    for (let place = from; place < to; place++) {
      let tile = this.tiles.get(place);
      if (!tile) {
        tile = this.tile(place);
        this.tiles.set(place, tile);
        this.element.append(tile);
      }
      const x = (place % this.across) * (this.side + this.gap);
      const y = Math.floor(place / this.across) * this.step - offset;
      tile.style.setProperty("transform", `translate(${x}px, ${y}px)`);
    }
    this.offset = offset;
  }

  // When the images that are in the document have come, or cannot come.
  settled() {
    return Promise.allSettled([...this.element.querySelectorAll("img")].map((image) => image.decode()));
  }

  tile(place) {
    const row = this.rows[place];
    const caption = h("span", { class: "sentence" });
    this.split.sentence(row).then((text) => {
      caption.textContent = visible(text);
      link.title = `Sample ${row}: ${visible(text)}`;
    }, () => (caption.textContent = "no sentence"));
    const image = h("img", { src: this.split.imageAddress(row), alt: "", decoding: "async", draggable: "false" });
    const link = h("a", { href: addressWith({ sample: row }), "data-go": true, "data-place": place }, image, caption);
    link.setAttribute("aria-label", `Sample ${row}`);
    return h("div", { class: "tile", role: "listitem" }, link);
  }

  // Arrows move from tile to tile, also to those that are not yet in sight.
  key(event) {
    const place = Number(event.target.dataset?.place ?? NaN);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across }[event.key];
    if (!step || Number.isNaN(place)) return;
    const next = place + step;
    if (next < 0 || next >= this.rows.length) return;
    event.preventDefault();
    this.focus(next);
  }

  focus(place) {
    const y = Math.floor(place / this.across) * this.step - (this.offset ?? 0);
    const top = this.element.getBoundingClientRect().top + scrollY + y;
    if (top < scrollY + 80) scrollTo({ top: top - 120 });
    if (top + this.step > scrollY + innerHeight) scrollTo({ top: top + this.step - innerHeight + 40 });
    this.draw();
    this.tiles.get(place)?.firstChild.focus({ preventScroll: true });
  }
}
