// Choosing a value of an option is an action at once, as on WebShop's own pages. The arrow keys only move to a
// value; Enter or the space bar chooses it. Without scripts there is a button for it.
"use strict";

document.documentElement.classList.add("scripted");

const options = document.querySelectorAll("form.option");

options.forEach((form, number) => {
  let moving = false;
  let typed = false;
  form.addEventListener("keydown", (event) => {
    moving = event.key.startsWith("Arrow");
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      typed = true;
      if (form.querySelector("input:checked")) form.requestSubmit();
    }
  });
  form.addEventListener("keyup", () => { moving = false; });
  form.addEventListener("click", (event) => {
    const chosen = event.target;
    if (chosen.type === "radio" && !moving && !chosen.defaultChecked) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    sessionStorage.setItem("place", JSON.stringify([window.scrollY, typed ? number : -1]));
  });
});

// The page after a choice is the same one with a mark more, so it stays where it was, and so does the keyboard.
const place = sessionStorage.getItem("place");
sessionStorage.removeItem("place");
if (place !== null && options.length > 0) {
  const [top, number] = JSON.parse(place);
  window.scrollTo(0, top);
  options[number]?.querySelector("input:checked")?.focus({ preventScroll: true });
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
