// The banner: what is degraded or stale, in plain words.

export function mountBanner(root, page) {
  const say = () => {
    root.textContent = page.live.state === "open" ? "" : "no connection to the page's server";
  };
  page.live.addEventListener("state", say);
}
