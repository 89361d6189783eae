// Light, dark, or as the system has it; remembered where the browser lets a page remember.

const THEMES = ["system", "light", "dark"];

function remembered() {
  try { return localStorage.getItem("act-gym theme"); } catch { return null; }
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  find("#theme").textContent = { system: "◐ system", light: "☀ light", dark: "☾ dark" }[theme];
  find("#theme").setAttribute("aria-label", `theme: ${theme}`);
  try { localStorage.setItem("act-gym theme", theme); } catch { /* a page that may not remember */ }
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "system";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

setTheme(THEMES.includes(remembered()) ? remembered() : "system");
find("#theme").addEventListener("click", nextTheme);
