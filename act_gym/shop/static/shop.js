// Choosing a value of an option is an action at once, as on WebShop's own pages. The arrow keys only move to a
// value; Enter or the space bar chooses it. Without scripts there is a button for it.
"use strict";

document.documentElement.classList.add("scripted");

for (const form of document.querySelectorAll("form.option")) {
  let moving = false;
  form.addEventListener("keydown", (event) => {
    moving = event.key.startsWith("Arrow");
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      if (form.querySelector("input:checked")) form.requestSubmit();
    }
  });
  form.addEventListener("keyup", () => { moving = false; });
  form.addEventListener("click", (event) => {
    const chosen = event.target;
    if (chosen.type === "radio" && !moving && !chosen.defaultChecked) form.requestSubmit();
  });
}

// A form that is on its way is not sent again: a second click would be on a page that is gone.
for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
