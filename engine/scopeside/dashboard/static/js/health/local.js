// What only the tab knows: that the server, or the engine, says nothing any more.

import { age, clock } from "../amounts.js";

// Return the sentences of the banner: the tab's own, and those of the server that still
// hold.
export function sentencesOf({ state, health, ageMs, endedMs }) {
  const own = ownSentence(state, ageMs, endedMs);
  const said = health?.sentences.filter((one) => one.level !== "ok") ?? [];
  if (own === null) return said;
  if (state !== "silent") return [own]; // of the rest nobody knows whether it still holds
  return [own, ...said.filter((one) => one.level === "bad")];
}

function ownSentence(state, ageMs, endedMs) {
  switch (state) {
    case "lost":
      return {
        level: "bad",
        about: "link",
        text:
          `no connection to the page for ${age(ageMs)}; what you see is ${age(ageMs)} old; ` +
          "it comes back by itself",
        what_to_do: "if it does not: has its engine ended? Does scopeside page run on that machine?",
      };
    case "silent":
      return {
        level: "bad",
        about: "silent",
        text: `the engine has not answered for ${age(ageMs)}; numbers and images are as old`,
        what_to_do: "is its machine overloaded? scopeside status asks it, too",
      };
    case "gone":
      return {
        level: "warn",
        about: "gone",
        text:
          `the engine and its page ended at ${clock(endedMs)}; this is the last picture; ` +
          "the next one appears by itself",
      };
    case "ended":
      return {
        level: "warn",
        about: "ended",
        text:
          `the engine ended at ${clock(endedMs)}; this is its last picture; ` +
          "waiting for the next one",
      };
    case "none":
      return {
        level: "warn",
        about: "none",
        text: "no engine runs yet; when one is started it appears here by itself",
        what_to_do: "scopeside run FILE, or scopeside demo",
      };
    default:
      return null;
  }
}
