// Before the first paint, so that a light page does not flash in a dark room.
const theme = localStorage.getItem("scopeside.theme");
if (theme === "light" || theme === "dark") {
  document.documentElement.dataset.theme = theme;
}
