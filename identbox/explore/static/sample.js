// One sample by itself: its image and sentence, its latents, its scene, and what it would have been.

import { h, number, say, visible } from "./dom.js";
import { colourOf, shown } from "./data.js";
import { addressWith } from "./state.js";

export async function sampleView(page, row) {
  const { split } = page;
  const [sentence, values] = await Promise.all([split.sentence(row), Promise.all(split.columns.map((_, at) => split.values(at)))]);
  const before = page.neighbour(row, -1), after = page.neighbour(row, 1);
  const step = (to, words, key) => to === undefined
    ? h("span", { class: "muted step" }, words)
    : h("a", { href: addressWith({ sample: to }), "data-go": true, class: "step", title: `key: ${key}` }, words);
  return h("article", { class: "sample" },
    h("div", { class: "steps" },
      h("a", { href: addressWith({ sample: null }), "data-go": true, title: "key: Escape" }, "All samples"),
      step(before, "← before", "←"), step(after, "after →", "→"), h("span", { class: "grow" }),
      page.sceneLink?.(split, row) ?? null,
      h("button", { type: "button", class: "quiet", onclick: copyAddress }, "Copy link")),
    h("div", { class: "sample-top" },
      h("figure", null,
        h("img", { src: split.imageAddress(row), alt: `The image of sample ${row}`, class: "large" }),
        h("figcaption", null, h("b", null, `${visible(split.name)} ${row}`), h("span", { class: "said" }, visible(sentence)))),
      latentTable(split, values, row)),
    await counterfactuals(page, row, values),
    page.info.records ? await recordView(split, row) : null);
}

async function copyAddress() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is in the clipboard.");
  } catch {
    say(location.href);
  }
}

function latentTable(split, values, row) {
  const rows = split.columns.map((column, at) => {
    const value = values[at][row];
    const share = column.high > column.low ? (value - column.low) / (column.high - column.low) : 0;
    const colour = colourOf(column, value);
    return h("tr", { "data-latent": column.name },
      h("th", { scope: "row" }, h("span", { class: `role ${column.role}`, title: column.role }), visible(column.label)),
      h("td", null, colour ? h("span", { class: "swatch", vars: { background: colour } }) : null, visible(shown(column, value))),
      h("td", { class: "track" }, column.varies ? h("span", { class: "place", vars: { "--v": share } }) : null),
      h("td", { class: "muted where" }, column.view === "both" ? "" : column.view));
  });
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Latents" },
    h("table", { class: "latents" }, h("caption", null, "Latents"), h("tbody", null, rows)));
}

// The sample in every counterfactual split that has it, with what differs there.
async function counterfactuals(page, row, values) {
  const { split } = page;
  const original = split.table.of === null ? split : page.splits[split.table.of];
  if (!original) return null;
  const others = page.splits.filter((one) => one.table.of === original.place && row < one.n);
  if (!others.length) return null;
  const all = original === split ? others : [original, ...others.filter((one) => one !== split)];
  const cards = await Promise.all(all.map(async (one) => {
    const sentence = await one.sentence(row);
    const differing = [];
    for (const [at, column] of one.columns.entries()) {
      const here = split.find(column.name);
      const value = (await one.values(at))[row];
      if (here >= 0 && values[here][row] !== value) {
        differing.push(`${visible(column.label)} ${visible(shown(split.columns[here], values[here][row]))} → ${visible(shown(column, value))}`);
      }
    }
    return h("figure", { class: "counterfactual" },
      h("a", { href: addressWith({ split: one.name, sample: row }), "data-go": true },
        h("img", { src: one.imageAddress(row), alt: `Sample ${row} of ${visible(one.name)}` })),
      h("figcaption", null, h("b", null, visible(one.table.intervention ?? "as it was drawn")),
        h("span", null, differing.join("; ") || "the same"), h("span", { class: "said muted" }, visible(sentence))));
  }));
  return h("section", null, h("h2", null, "Counterfactuals"),
    h("p", { class: "muted" }, "The same sample with one thing changed and everything else the same."),
    h("div", { class: "counterfactuals" }, cards));
}

async function recordView(split, row) {
  try {
    const record = await split.record(row);
    const text = Object.entries(record).map(([key, value]) => {
      const shownValue = Array.isArray(value) ? value.map((x) => number(x, 4)).join(", ") : typeof value === "number" ? number(value, 4) : value;
      return [h("dt", null, visible(key)), h("dd", null, visible(shownValue))];
    });
    return h("section", null, h("h2", null, "Scene"),
      h("p", { class: "muted" }, "What the renderer got: metres, radians, linear RGB."), h("dl", { class: "record" }, text));
  } catch (error) {
    return h("section", null, h("h2", null, "Scene"), h("p", { class: "muted" }, visible(error.message)));
  }
}
