// What only the tab knows: that the server, or the engine, says nothing any more.

import { age, clock } from "../amounts.js";

// After this a server that was lost is not expected to come back by itself.
const LONG_MS = 10_000;

// Return the sentences of the banner: the tab's own, and those of the server that still
// hold.
export function sentencesOf({ state, health, ageMs, endedMs, turnedAway = "" }) {
  const isAway = state === "lost" && turnedAway !== "";
  const own = isAway ? away(turnedAway, ageMs) : ownSentence(state, ageMs, endedMs, health);
  const said = health?.sentences.filter((one) => one.level !== "ok") ?? [];
  if (own === null) return said;
  if (state !== "silent") return [own]; // of the rest nobody knows whether it still holds
  return [own, ...said.filter((one) => one.level === "bad")];
}

function ownSentence(state, ageMs, endedMs, health) {
  switch (state) {
    case "lost":
      return { level: "bad", about: "link", ...lost(ageMs) };
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
      if (health.killed) return { level: "bad", about: "killed", ...killed(endedMs) };
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

function away(why, ageMs) {
  return {
    level: "bad",
    about: "away",
    text: `no place for this tab: ${why}; what you see is ${age(ageMs)} old`,
    what_to_do: "close other tabs, or open the address with the token; tried again every 10 s",
  };
}

function lost(ageMs) {
  if (ageMs < LONG_MS) {
    return {
      text:
        `no connection to the page for ${age(ageMs)}; what you see is ${age(ageMs)} old; ` +
        "it is tried again and again",
    };
  }
  return {
    text:
      `no connection for ${age(ageMs)}: the page's process has ended, probably the engine too; ` +
      "what you see is as old",
    what_to_do: "look at its terminal (far away: at the tunnel); this tab goes on trying",
  };
}

function killed(endedMs) {
  return {
    text:
      `the engine stopped without a word at ${clock(endedMs)} (it was killed or crashed): what ` +
      "was received after the last result is not accounted for",
    what_to_do:
      "a recording can be recovered with scopeside runs recover; the next engine appears by itself",
  };
}
