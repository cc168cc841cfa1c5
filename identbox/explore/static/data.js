// The samples of a split: columns of numbers, sentences in chunks, and the rows that a filter leaves.

const answers = new Map();

export async function read(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? `${address}: the server answered ${answer.status}`);
  }
  return answer;
}

export const readJson = async (address) => (await read(address)).json();

export const ask = (address, value, signal) =>
  read(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value), signal });

// An answer that is read once and kept.
function kept(address, reading) {
  if (!answers.has(address)) {
    const answer = reading(address);
    answers.set(address, answer);
    answer.catch(() => answers.delete(address));
  }
  return answers.get(address);
}

export class Split {
  constructor(place, table, chunk, live) {
    Object.assign(this, { place, chunk, live, name: table.name, n: table.n, columns: table.columns, table });
  }

  imageAddress(row) {
    return `data/${this.place}/images/${row}.png`;
  }

  // The values of a column, as 64-bit floats; images go before them.
  values(column) {
    return kept(`data/${this.place}/columns/${column}.f64`, async (address) =>
      new Float64Array(await (await read(address, { priority: "low" })).arrayBuffer()));
  }

  async sentence(row) {
    const sentences = await kept(`data/${this.place}/sentences/${Math.floor(row / this.chunk)}.json`, readJson);
    return sentences[row % this.chunk];
  }

  dependence() {
    return kept(`data/${this.place}/dependence.json`, readJson);
  }

  record(row) {
    return kept(`data/${this.place}/records/${row}.json`, readJson);
  }

  find(name) {
    return this.columns.findIndex((column) => column.name === name);
  }

  // The rows that fit all filters, in the order asked for: filters are {column, low, high} or {column, classes}.
  async select(filters, sort, words = "") {
    const fits = new Uint8Array(this.n).fill(1);
    for (const filter of filters) {
      const values = await this.values(filter.column);
      if (filter.classes) {
        const wanted = new Set(filter.classes);
        for (let row = 0; row < this.n; row++) if (!wanted.has(values[row])) fits[row] = 0;
      } else {
        const { low, high } = filter;
        for (let row = 0; row < this.n; row++) if (!(values[row] >= low && values[row] <= high)) fits[row] = 0;
      }
    }
    if (words) await this.keepWords(words.toLowerCase(), fits);
    let left = 0;
    for (let row = 0; row < this.n; row++) left += fits[row];
    const rows = new Uint32Array(left);
    for (let row = 0, at = 0; row < this.n; row++) if (fits[row]) rows[at++] = row;
    if (sort) {
      const values = await this.values(sort.column);
      const sign = sort.down ? -1 : 1;
      rows.sort((a, b) => sign * (values[a] - values[b]) || a - b);
    }
    return rows;
  }

  // Leave out the rows whose sentence does not have the words: found by the server, or here where there is none.
  async keepWords(words, fits) {
    if (this.live) {
      const found = await kept(`data/${this.place}/search?${words}`, async () =>
        new Uint32Array(await (await ask(`data/${this.place}/search`, { words })).arrayBuffer()));
      const has = new Uint8Array(this.n);
      for (const row of found) has[row] = 1;
      for (let row = 0; row < this.n; row++) fits[row] &= has[row];
      return;
    }
    for (let row = 0; row < this.n; row++) {
      if (fits[row] && !(await this.sentence(row)).toLowerCase().includes(words)) fits[row] = 0;
    }
  }
}

// How a value of a column is shown: the name of a class, or a number.
export function shown(column, value) {
  if (column.kind === "class") return column.names[value] ?? String(value);
  return Number.isInteger(value) ? String(value) : value.toFixed(3).replace("-", "−");
}

// The colours that a hue stands for, where a column is one: as the scenes compute them (data/scene.py).
export function colourOf(column, value) {
  const name = column.name.replace(" (text)", "");
  if (name === "object_color") return `hsl(${360 * value} 100% 50%)`;
  const half = ((value - 0.5) / 2 + 1) % 1;
  if (name === "spotlight_color") return `hsl(${360 * half} 100% 60%)`;
  if (name === "background_color") return `hsl(${360 * half} 100% 70%)`;
  return null;
}

// The bins of a column for a histogram: counts of all rows and of those that are left.
export function histogram(column, values, rows, bins = 24) {
  const classes = column.kind === "class";
  const k = classes ? Math.min(60, Math.round(column.high) + 1) : bins;
  const width = classes ? (column.high + 1) / k : (column.high - column.low) / k || 1;
  const low = classes ? 0 : column.low;
  const place = (value) => Math.min(k - 1, Math.max(0, Math.floor((value - low) / width)));
  const all = new Uint32Array(k), left = new Uint32Array(k);
  for (let row = 0; row < values.length; row++) all[place(values[row])]++;
  for (const row of rows) left[place(values[row])]++;
  return { k, low, width, all, left, place };
}

// Bins of equal frequency, as `identbox.metrics.associations.binned` makes them.
function binned(column, values, rows, bins) {
  const own = Float64Array.from(rows, (row) => values[row]);
  const known = [...new Set(own)].sort((a, b) => a - b);
  if (column.kind === "class" || known.length <= bins) {
    const places = new Map(known.map((value, at) => [value, at]));
    return own.map((value) => places.get(value));
  }
  const sorted = own.slice().sort();
  const edges = [];
  for (let k = 1; k < bins; k++) {
    const at = (k / bins) * (sorted.length - 1), below = Math.floor(at);
    const edge = sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
    if (edge !== edges.at(-1)) edges.push(edge);
  }
  return own.map((value) => edges.filter((edge) => edge <= value).length);
}

function entropy(counts, n) {
  let sum = 0;
  for (const c of counts) if (c) sum -= (c / n) * Math.log(c / n);
  return sum;
}

// The dependence of two columns in some rows, as `identbox.explore.dependence.strength` defines it.
export function strength(one, other, rows, bins = 12) {
  const n = rows.length;
  if (n < 2) return null;
  const a = binned(one.column, one.values, rows, bins), b = binned(other.column, other.values, rows, bins);
  const size = 1 + b.reduce((m, x) => Math.max(m, x), 0), rowsOf = 1 + a.reduce((m, x) => Math.max(m, x), 0);
  const joint = new Float64Array(size * rowsOf), first = new Float64Array(rowsOf), second = new Float64Array(size);
  for (let i = 0; i < n; i++) {
    joint[a[i] * size + b[i]]++;
    first[a[i]]++;
    second[b[i]]++;
  }
  const used = (counts) => counts.reduce((sum, c) => sum + (c > 0), 0);
  const least = Math.min(entropy(first, n), entropy(second, n));
  if (!(least > 0)) return null;
  const chance = ((used(first) - 1) * (used(second) - 1)) / (2 * n);
  const found = entropy(first, n) + entropy(second, n) - entropy(joint, n);
  return Math.min(1, Math.max(0, (found - chance) / (least - chance)));
}
