// Times that run: how long something still holds, how old it is.

// 754 000 ms: "12:34"; beyond an hour "1:02:34". Nothing below zero.
export function clockOf(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${two(minutes)}:${two(seconds)}`;
}

// An age or a rest with its unit: "3.2 s", "45 s", "12:34 min".
export function secondsOf(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 10) return `${s.toFixed(1)} s`;
  return s < 120 ? `${Math.floor(s)} s` : `${clockOf(ms)} ${s < 3600 ? "min" : "h"}`;
}

// The time of day of a moment, by this computer's zone.
export function timeOfDay(ms) {
  return ms === null || ms === undefined ? "" : new Date(ms).toLocaleTimeString("en-GB");
}
