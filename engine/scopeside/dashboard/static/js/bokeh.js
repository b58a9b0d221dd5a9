// BokehJS, which draws plots with axes: over a megabyte of script, so it is loaded when the
// first plot is to be shown, and not before.

const FILES = ["bokeh/bokeh.min.js", "bokeh/bokeh-api.min.js"]; // in this order

let loading = null;

// Resolves to Bokeh; rejects with an Error that says why there is none. After a failure
// the next one who asks tries again.
export function bokeh() {
  loading ??= load().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

// Whether all of it is there.
export function hasBokeh() {
  return window.Bokeh?.Plotting !== undefined;
}

async function load() {
  const base = document.documentElement.dataset.files ?? ""; // of this version, see files.py
  for (const name of FILES) await script(base + name);
  return window.Bokeh;
}

function script(src) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = src;
    element.onload = resolve;
    element.onerror = () => {
      element.remove();
      reject(new Error("the library that draws plots could not be loaded from the page's server"));
    };
    document.head.append(element);
  });
}
