// The factors of a split against each other: any two of them, and all pairs at once.

import { h, number, s, visible } from "./dom.js";
import { strength } from "./data.js";
import { bars, joint } from "./plots.js";
import { go, query } from "./state.js";

export async function factorsView(split, rows) {
  const varying = split.columns.filter((column) => column.varies);
  if (varying.length < 2) return h("p", { class: "muted" }, "Fewer than two factors vary.");
  const chosen = (key, other) => varying.find((column) => column.name === query().get(key)) ?? other;
  const x = chosen("x", varying.find((c) => c.name === "object_xpos") ?? varying[0]);
  const y = chosen("y", varying.find((c) => c.name === "object_color" && c !== x) ?? varying.find((c) => c !== x));
  const [one, other] = await Promise.all([x, y].map(async (column) => ({ column, values: await split.values(split.columns.indexOf(column)) })));
  const all = await split.dependence();
  const choice = (key, now) => h("select", { "aria-label": key === "x" ? "factor across" : "factor upwards", id: `axis-${key}`, onchange: (event) => go({ [key]: event.target.value }) },
    varying.map((column) => h("option", { value: column.name, selected: column === now }, visible(column.label))));
  const pair = strength(one, other, rows);
  return h("div", { class: "factors" },
    h("section", { class: "pair" },
      h("h2", null, "Two factors"),
      h("p", { class: "axes" }, choice("y", y), " against ", choice("x", x)),
      joint(one, other, rows),
      h("p", { class: "verdict-line", "data-strength": pair ?? "" },
        h("b", null, pair === null ? "–" : number(pair)), " ", words(pair), ". ", declaredWords(all, x, y)),
      h("div", { class: "margins" }, [one, other].map((c) => h("figure", null, h("figcaption", null, visible(c.column.label)), bars(c.column, c.values, rows).svg)))),
    h("section", { class: "pairs" },
      h("h2", null, "All pairs"),
      h("p", { class: "muted note" }, "Mutual information as a share of the smaller entropy, over the whole split: 0 independent, 1 one says the other. A ring marks an effect that the process declares."),
      matrix(all, x.name, y.name)));
}

const words = (v) => v === null ? "too little varies to tell" : v < 0.01 ? "no dependence seen" : v < 0.1 ? "a weak dependence" : v < 0.5 ? "a clear dependence" : "a strong dependence";

function declaredWords(all, x, y) {
  const found = all.declared.find(([a, b]) => (a === x.name && b === y.name) || (a === y.name && b === x.name));
  return found ? `The process declares: ${visible(found[0])} causes ${visible(found[1])}.` : "The process declares no effect of one on the other.";
}

function matrix(all, x, y) {
  const cell = 22, left = 118, top = 96, n = all.names.length;
  const label = (name) => visible(name.replace("object_", "").replaceAll("_", " ")).slice(0, 18);
  const declared = new Set(all.declared.flatMap(([a, b]) => [`${a}\n${b}`, `${b}\n${a}`]));
  const parts = [];
  all.names.forEach((name, i) => {
    parts.push(s("text", { x: left - 6, y: top + i * cell + 15, "text-anchor": "end", class: "tick" }, label(name)));
    const at = left + i * cell + 14;
    parts.push(s("text", { x: at, y: top - 6, transform: `rotate(-55 ${at} ${top - 6})`, class: "tick" }, label(name)));
  });
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    if (i === j) continue;
    const [a, b, v] = [all.names[i], all.names[j], all.matrix[i][j]];
    const chosen = (a === y && b === x) || (a === x && b === y);
    const square = s("rect", {
      x: left + j * cell + 1, y: top + i * cell + 1, width: cell - 2, height: cell - 2, rx: 2, class: `cell ${chosen ? "chosen" : ""}`,
      tabindex: 0, role: "button", "aria-label": `${label(a)} against ${label(b)}: ${number(v)}`, "data-pair": `${a} ${b}`,
      onclick: () => go({ x: b, y: a }), onkeydown: (event) => event.key === "Enter" && go({ x: b, y: a }),
    }, s("title", null, `${label(a)} against ${label(b)}: ${number(v)}`));
    square.style.setProperty("--v", `${Math.round(100 * Math.sqrt(v))}%`);
    parts.push(square);
    if (declared.has(`${a}\n${b}`)) parts.push(s("circle", { cx: left + j * cell + cell / 2, cy: top + i * cell + cell / 2, r: 6, class: "declared" }));
  }
  return s("svg", { viewBox: `0 0 ${left + n * cell + 40} ${top + n * cell + 4}`, class: "matrix", role: "group", "aria-label": "Dependence of all pairs of factors" }, parts);
}
