// The page: which of its parts is shown, by the address.

import { h, say, visible } from "./dom.js";
import { Split, readJson } from "./data.js";
import { DatasetPage } from "./dataset.js";
import { EncoderPage } from "./encoder.js";
import { FramesPage } from "./frames.js";
import { RunsPage } from "./runs.js";
import { ScenePage } from "./scene.js";
import { addressWith, follow, onChange, query } from "./state.js";

const makers = {
  dataset: async (info) => new DatasetPage(info.dataset, info.live),
  scene: async (info) => new ScenePage(info.scene),
  encoder: async (info) => new EncoderPage(info, trainingSplit(info)),
  frames: async () => new FramesPage(),
  runs: async () => new RunsPage(),
};

function trainingSplit(info) {
  const place = info.dataset.splits.findIndex((split) => split.name === "train");
  return place < 0 ? null : new Split(place, info.dataset.splits[place], info.dataset.chunk, info.live);
}

const titles = { dataset: "Dataset", scene: "Scene", encoder: "Encoder", frames: "Scene", runs: "Runs" };

const main = document.getElementById("main");
const pages = new Map();
let info, current;

function chosen() {
  const name = query().get("page");
  return info.pages.includes(name) ? name : info.pages[0];
}

async function show() {
  const name = chosen();
  try {
    if (!pages.has(name)) pages.set(name, makers[name](info));
    const page = await pages.get(name);
    if (chosen() !== name) return;
    if (current !== page) {
      current?.pause?.();
      main.replaceChildren(page.element);
      current = page;
      scrollTo({ top: 0 });
      document.title = `${titles[name]} · ${document.title.split(" · ").slice(-2).join(" · ")}`;
    }
    for (const link of document.querySelectorAll("#pages a")) {
      link.setAttribute("aria-current", link.dataset.page === name ? "page" : "false");
    }
    await page.update();
  } catch (error) {
    say(error.message);
    if (!current) main.replaceChildren(h("p", null, visible(error.message)));
  }
}

function navigation() {
  const nav = document.getElementById("pages");
  // Each page keeps its own view in the address while another is shown.
  nav.replaceChildren(...info.pages.map((name) => h("a", {
    "data-go": true, "data-page": name, href: addressWith({ page: name }, new URLSearchParams()),
    onclick: (event) => event.currentTarget.setAttribute("href", addressWith({ page: name })),
  }, titles[name])));
}

async function start() {
  try {
    info = await readJson("info.json");
    navigation();
    document.addEventListener("click", follow);
    onChange(show);
    await show();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    main.replaceChildren(h("p", null, visible(error.message)));
  }
}

start();
