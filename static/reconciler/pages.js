/* Small helps for people with scripts on: fresh ages, copy buttons, a live overview, keys.
   Every page works without this file. */
"use strict";
(() => {
  const root = document.documentElement;
  const serverNow = Date.parse(root.dataset.now || "");
  const skew = Number.isNaN(serverNow) ? 0 : serverNow - Date.now();

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function inWords(seconds) {
    const size = Math.abs(seconds);
    if (size < 1) return "now";
    const at = UNITS.findIndex(([length]) => size >= length);
    const [length, name] = UNITS[at];
    let words = `${Math.floor(size / length)} ${name}`;
    if (at < 2) {
      const [smaller, smallName] = UNITS[at + 1];
      const rest = Math.floor((size % length) / smaller);
      if (rest && Math.floor(size / length) < 10) words += ` ${rest} ${smallName}`;
    }
    return seconds < 0 ? `in ${words}` : `${words} ago`;
  }

  function refreshAges() {
    const now = Date.now() + skew;
    for (const one of document.querySelectorAll("time[data-age]")) {
      const words = inWords((now - Date.parse(one.dateTime)) / 1000);
      one.textContent = one.dataset.age === "bare" ? words.replace(/ ago$/, "") : words;
    }
  }

  function showCopyButtons() {
    for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  }

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.classList.add("done");
    const label = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("done");
      button.setAttribute("aria-label", label);
    }, 1600);
  }

  function startLive() {
    const live = document.querySelector("[data-live]");
    if (!live) return;
    const every = Number(live.dataset.live) * 1000;
    const dot = document.querySelector("[data-live-dot]");
    const word = document.querySelector("[data-live-word]");
    if (word) word.textContent = `refreshes every ${live.dataset.live} s`;
    async function once() {
      if (document.hidden || live.contains(document.activeElement)) return;
      try {
        const answer = await fetch(location.href, { headers: { "X-Fragment": "live" } });
        if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
        live.innerHTML = await answer.text();
        if (dot) dot.classList.remove("stopped");
        if (word) word.textContent = `refreshes every ${live.dataset.live} s`;
        showCopyButtons();
        refreshAges();
      } catch {
        if (dot) dot.classList.add("stopped");
        if (word) word.textContent = "could not refresh: this is the last known picture";
      }
    }
    setInterval(once, every);
    document.addEventListener("visibilitychange", once);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    const box = target.closest("details");
    if (box) box.open = true;
    target.focus();
  });

  showCopyButtons();
  refreshAges();
  setInterval(refreshAges, 5000);
  startLive();
})();
