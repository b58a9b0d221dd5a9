// One timer for the ages of all images, 4 times a second.

const EVERY_MS = 250;
const listeners = new Set();
let timer = null;

// Have `listener()` called 4 times a second; returns a function that ends it.
export function everyTick(listener) {
  listeners.add(listener);
  timer ??= setInterval(() => {
    if (document.hidden) return; // the next tick that is seen says how old all is
    for (const one of listeners) one();
  }, EVERY_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = null;
    }
  };
}

// Resolves when what was painted before is on the screen; after a second in a tab that
// nobody sees, where nothing is.
export function presented() {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, 1000);
    if (document.hidden) return;
    requestAnimationFrame(() => {
      const channel = new MessageChannel(); // runs when the frame has been drawn
      channel.port1.onmessage = () => {
        clearTimeout(late);
        channel.port1.close();
        resolve();
      };
      channel.port2.postMessage(0);
    });
  });
}
