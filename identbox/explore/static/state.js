// What the page shows is in its address: a link to the address shows exactly this view.

const listeners = new Set();

export const query = () => new URLSearchParams(location.search);

// Call a function when the address changes.
export function onChange(listener) {
  listeners.add(listener);
}

export function notify() {
  for (const listener of listeners) listener();
}

// The address with some parameters changed; null removes one.
export function addressWith(changes, from = query()) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") from.delete(name);
    else from.set(name, value);
  }
  const text = from.toString();
  return text ? `?${text}` : location.pathname;
}

// Change some parameters; with `push` the browser's Back returns to the view before.
export function go(changes, { push = false, silent = false } = {}) {
  const address = addressWith(changes);
  if (address === (location.search || location.pathname)) return;
  history[push ? "pushState" : "replaceState"](null, "", address);
  if (!silent) notify();
}

// A link that changes parameters without loading the page again.
export function follow(event) {
  const link = event.target.closest("a[data-go]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  history.pushState(null, "", link.getAttribute("href"));
  notify();
}

addEventListener("popstate", notify);
