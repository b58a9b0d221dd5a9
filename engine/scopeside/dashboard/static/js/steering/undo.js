// What was dragged, and can be taken back: by Ctrl+Z, the last first.

import { same } from "./values.js";

const MOST = 50;
const ONE_MS = 1000; // arrow keys in this time are one step

export class Undo {
  #steps = []; // {processor, id, values, at}

  // Remember the values before a drag; `id`: of what is dragged, for arrow keys.
  push(processor, values, id = null, at = performance.now()) {
    const last = this.#steps.at(-1);
    const goesOn = id !== null && last?.id === id && at - last.at < ONE_MS;
    if (goesOn) last.at = at;
    else this.#steps.push({ processor, id, values, at });
    if (this.#steps.length > MOST) this.#steps.shift();
  }

  // Set what was before the last step; false if there is none.
  back() {
    while (this.#steps.length > 0) {
      const { processor, values } = this.#steps.pop();
      const isOther = ([key, value]) => differs(processor, key, value);
      if (processor.whyNot !== "" || !Object.entries(values).some(isOther)) continue;
      processor.drag(values);
      return true;
    }
    return false;
  }
}

// Whether a value is there and another one than it was: its detector may be gone.
function differs(processor, key, value) {
  const path = key.split(".");
  const table = path.slice(0, -1).reduce((inner, one) => inner?.[one], processor.params);
  return table !== undefined && !same(table[path.at(-1)], value);
}
