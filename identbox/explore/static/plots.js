// Figures in SVG. Colours are variables of the style sheet; what a colour says stands in words too.

import { h, s, number, visible } from "./dom.js";
import { colourOf, histogram, shown } from "./data.js";

const W = 220, H = 44;

// A small histogram: all samples pale, those that the filters leave in full.
export function bars(column, values, rows) {
  const { k, low, width, all, left, place } = histogram(column, values, rows);
  const most = Math.max(1, ...all), gap = k > 30 ? 0.5 : 1.5, step = W / k;
  const parts = [];
  for (let at = 0; at < k; at++) {
    const middle = low + (at + 0.5) * width;
    const fill = column.kind === "class" ? null : colourOf(column, middle);
    const bar = (n, name) => n && s("rect", {
      x: at * step + gap / 2, width: Math.max(0.5, step - gap), y: H - (n / most) * H, height: (n / most) * H, class: name,
    });
    const whole = bar(all[at], "bar-all"), part = bar(left[at], "bar-left");
    if (part && fill) part.style.setProperty("fill", fill);
    parts.push(whole, part);
  }
  const words = `${visible(column.label)}: ${rows.length} of ${values.length} samples`;
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, class: "bars", role: "img", "aria-label": words, preserveAspectRatio: "none" },
    parts.filter(Boolean));
  return { svg, place, counts: left, k, low, width };
}

// Two factors against each other: samples in cells, darker for more; dots where there are few.
export function joint(x, y, rows) {
  const side = 360, edge = 46, inner = side - edge - 8;
  const bins = (c) => (c.column.kind === "class" ? Math.min(60, Math.round(c.column.high) + 1) : 24);
  const scale = (c) => {
    const k = bins(c), classes = c.column.kind === "class";
    const low = classes ? 0 : c.column.low, span = classes ? c.column.high + 1 : c.column.high - c.column.low || 1;
    return { k, at: (v) => Math.min(k - 1, Math.max(0, Math.floor(((v - low) / span) * k))), share: (v) => (v - low + (classes ? 0.5 : 0)) / span, low, span };
  };
  const a = scale(x), b = scale(y);
  const counts = new Uint32Array(a.k * b.k);
  for (const row of rows) counts[a.at(x.values[row]) * b.k + b.at(y.values[row])]++;
  const most = Math.max(1, ...counts), w = inner / a.k, v = inner / b.k;
  const parts = [s("rect", { x: edge, y: 0, width: inner, height: inner, class: "frame" })];
  for (let i = 0; i < a.k; i++) for (let j = 0; j < b.k; j++) {
    const n = counts[i * b.k + j];
    if (!n) continue;
    const rect = s("rect", { x: edge + i * w + 0.5, y: inner - (j + 1) * v + 0.5, width: Math.max(0.5, w - 1), height: Math.max(0.5, v - 1), class: "cell" },
      s("title", null, `${n} samples`));
    rect.style.setProperty("--v", `${Math.round(12 + 88 * Math.sqrt(n / most))}%`);
    parts.push(rect);
  }
  const tick = (c, sc, horizontal) => {
    const marks = c.column.kind === "class" && sc.k <= 8 ? [...Array(sc.k).keys()] : [c.column.low, c.column.high];
    return marks.map((value, at) => {
      const share = sc.share(value), words = visible(shown(c.column, value)).slice(0, 12);
      const end = at === 0 ? "start" : at === marks.length - 1 ? "end" : "middle";
      const middle = c.column.kind === "class" && sc.k <= 8 ? "middle" : end;
      return horizontal
        ? s("text", { x: edge + share * inner, y: inner + 15, "text-anchor": middle, class: "tick" }, words.slice(0, Math.max(3, Math.floor(46 / Math.max(1, marks.length)))))
        : s("text", { x: edge - 4, y: inner - share * inner + 4, "text-anchor": "end", class: "tick" }, words.slice(0, 8));
    });
  };
  parts.push(...tick(x, a, true), ...tick(y, b, false));
  const words = `${visible(x.column.label)} across, ${visible(y.column.label)} upwards, ${rows.length} samples`;
  return s("svg", { viewBox: `0 -6 ${side} ${side - 22}`, class: "joint", role: "img", "aria-label": words }, parts);
}

// The class of the nth of several kinds of curves: six colours, whole and then dashed.
const classOf = (at) => `c${at % 6}${at % 12 < 6 ? "" : " dashed"}`;

// Curves over steps: each {name, points: [[x, y], ...], kind}. Those of one kind (else, of one name) look alike and are one
// entry of the legend.
export function curves(title, series, { unit = "", height = 190, low = null, high = null } = {}) {
  const width = 520, left = 46, bottom = height - 22, right = width - 8;
  const points = series.flatMap((one) => one.points).filter(([, y]) => Number.isFinite(y));
  if (!points.length) return h("p", { class: "muted" }, "Nothing yet.");
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const x0 = Math.min(0, ...xs), x1 = Math.max(1, ...xs);
  let y0 = low ?? Math.min(...ys), y1 = high ?? Math.max(...ys);
  if (y1 - y0 < 1e-12) { y0 -= 0.5; y1 += 0.5; }
  const X = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
  const Y = (y) => bottom - ((Math.min(Math.max(y, y0), y1) - y0) / (y1 - y0)) * (bottom - 12);
  const parts = [];
  for (const y of ticks(y0, y1, 4)) {
    parts.push(s("line", { x1: left, x2: right, y1: Y(y), y2: Y(y), class: "rule" }),
      s("text", { x: left - 6, y: Y(y) + 4, "text-anchor": "end", class: "tick" }, number(y, Math.abs(y1 - y0) < 2 ? 2 : 1)));
  }
  for (const x of ticks(x0, x1, 5)) {
    parts.push(s("text", { x: Math.min(X(x), right - 14), y: height - 6, "text-anchor": "middle", class: "tick" }, x >= 1000 ? `${x / 1000}k` : String(x)));
  }
  const kinds = [...new Set(series.map((one) => one.kind ?? one.name))];
  series.forEach((one) => {
    const look = classOf(kinds.indexOf(one.kind ?? one.name));
    const there = one.points.filter(([, y]) => Number.isFinite(y));
    if (!there.length) return;
    const path = "M" + there.map(([x, y]) => `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("L");
    parts.push(s("path", { d: path, class: `curve ${look}` }, s("title", null, visible(one.name))));
    const [x, y] = there.at(-1);
    parts.push(s("circle", { cx: X(x), cy: Y(y), r: 2.5, class: `dot ${look}` }));
  });
  const last = series.map((one) => `${visible(one.name)} ${number(one.points.at(-1)?.[1])}`).join(", ");
  return h("figure", { class: "curves" },
    h("figcaption", null, visible(title), unit ? h("span", { class: "muted" }, ` ${unit}`) : null),
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${visible(title)}: ${last}` }, parts),
    kinds.length > 1 ? h("p", { class: "legend" }, kinds.map((kind, at) => h("span", { class: classOf(at) }, visible(kind)))) : null);
}

function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((one) => one >= rough) ?? power * 10;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : Number(at.toPrecision(12)));
  return found;
}

// A line without axes, for a row of a table.
export function spark(points) {
  const there = points.filter(([, y]) => Number.isFinite(y));
  if (there.length < 2) return s("svg", { viewBox: "0 0 120 28", class: "spark", "aria-hidden": "true" });
  const xs = there.map((p) => p[0]), ys = there.map((p) => p[1]);
  const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = Math.min(...ys), y1 = Math.max(...ys);
  const path = "M" + there.map(([x, y]) => `${(2 + (116 * (x - x0)) / (x1 - x0 || 1)).toFixed(1)} ${(26 - (24 * (y - y0)) / (y1 - y0 || 1)).toFixed(1)}`).join("L");
  return s("svg", { viewBox: "0 0 120 28", class: "spark", "aria-hidden": "true" }, s("path", { d: path, class: "curve" }));
}
