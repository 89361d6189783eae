// A list of any length: only the rows in sight are elements. One of its rows is chosen.

const ROW = 64;  // pixels, as in explorer.css

class List {
  /**
   * @param {Element} box The listbox.
   * @param {function} draw Returns the children of a row's element.
   * @param {function} choose Is told which row was chosen.
   */
  constructor(box, draw, choose) {
    Object.assign(this, { box, draw, choose, rows: [], at: -1 });
    this.space = el("div", { role: "presentation", class: "space" });
    box.append(this.space);
    box.addEventListener("scroll", () => this.paint(), { passive: true });
    new ResizeObserver(() => this.paint()).observe(box);
    box.addEventListener("click", event => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(this.rows[Number(option.dataset.at)]);
    });
    box.addEventListener("keydown", event => {
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.move(steps[event.key]);
    });
  }

  /** Shows other rows, or chooses another one of the same. */
  show(rows, chosen) {
    if (rows !== this.rows) {
      this.rows = rows;
      this.space.style.height = `${ROW * rows.length}px`;
      this.box.hidden = rows.length === 0;
    }
    const before = this.at;
    this.at = chosen === undefined ? -1 : rows.indexOf(chosen);
    if (this.at >= 0 && this.at !== before) this.reveal();
    this.drawn = undefined;
    this.paint();
  }

  /** Goes back to the top, for what is shown next is something else. */
  restart() {
    this.box.scrollTop = 0;
    this.at = -1;
  }

  /** Chooses the row that many places further on. */
  move(step) {
    if (!this.rows.length) return;
    const next = this.at < 0 && Math.abs(step) === 1 ? 0 : this.at + step;
    this.choose(this.rows[Math.min(Math.max(next, 0), this.rows.length - 1)]);
  }

  reveal() {
    const top = ROW * this.at, { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
  }

  paint() {
    const { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - 6);
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / ROW) + 6);
    const key = `${first} ${last}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const options = [];
    for (let at = first; at < last; at++) {
      const option = el("div", {
        role: "option", id: `${this.box.id}-${at}`, "data-at": at, "aria-selected": String(at === this.at),
        "aria-setsize": this.rows.length, "aria-posinset": at + 1,
      }, this.draw(this.rows[at]));
      option.style.top = `${ROW * at}px`;
      options.push(option);
    }
    this.space.replaceChildren(...options);
    if (this.at >= first && this.at < last) this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.at}`);
    else this.box.removeAttribute("aria-activedescendant");
  }
}
