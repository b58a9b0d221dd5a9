// To hold and to blank: asked as a request and over a socket of its own, at once and with
// one id. The browser keeps six requests under way and lets a seventh wait, in all tabs.

import { command, mayChange, MAY_ONLY_LOOK, token } from "../ask.js";

const PATIENCE_MS = 8000; // the server answers within 6 s, whatever the guard does

// Resolves to {state, words, took_ms}; rejects with an Error where nobody has answered.
export async function askToStop(what) {
  if (!mayChange()) throw new Error(MAY_ONLY_LOOK);
  const id = [...crypto.getRandomValues(new Uint8Array(16))].join("-");
  const ways = [byRequest(what, id), bySocket(what, id)];
  try {
    return await Promise.race([Promise.any(ways), tooLate()]);
  } catch (error) {
    throw firstOf(error);
  }
}

// The words of a refusal tell more than those of a lost connection.
function firstOf(error) {
  const all = error instanceof AggregateError ? error.errors.map(firstOf) : [error];
  return all.find((one) => !(one instanceof TypeError)) ?? all[0];
}

function byRequest(what, id) {
  return command(what, { id });
}

function bySocket(what, id) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/stop`);
    socket.onopen = () => socket.send(JSON.stringify({ token: token(), stop: what, id }));
    socket.onmessage = (event) => {
      const answer = JSON.parse(event.data);
      if (answer.error === undefined) resolve(answer);
      else reject(new Error(answer.error));
    };
    socket.onclose = () => reject(new TypeError("the socket was closed"));
  });
}

function tooLate() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new TypeError("no answer")), PATIENCE_MS);
  });
}
