// A list of any length, of which those rows are in the document that can be seen: a listbox (WAI-ARIA 1.2).

import { make } from "./dom.js";

const ROW = 46; // pixels, as page.css has it
const BEYOND = 6; // rows above and below

export class List {
  // row: makes the contents of a row; chosen: is called with what was chosen.
  constructor(box, { row, chosen }) {
    this.box = box;
    this.row = row;
    this.chosen = chosen;
    this.items = [];
    this.at = -1;
    this.selected = null;
    this.inner = make("div", { class: "rows", role: "presentation" });
    box.append(this.inner);
    box.addEventListener("scroll", () => this.show(), { passive: true });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(Number(option.dataset.at));
    });
    new ResizeObserver(() => this.show()).observe(box);
  }

  set(items) {
    const current = this.items[this.at];
    this.items = items;
    this.at = current ? items.findIndex((one) => one.kind === current.kind && one.id === current.id) : -1;
    this.show();
  }

  select(item) {
    this.selected = item;
    this.show();
  }

  choose(at) {
    if (!this.items[at]) return;
    this.at = at;
    this.chosen(this.items[at]);
    this.reveal();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" || event.key === " ") this.choose(this.at);
    else if (event.key in steps) this.at = Math.min(this.items.length - 1, Math.max(0, this.at + steps[event.key]));
    else return;
    event.preventDefault();
    this.reveal();
  }

  reveal() {
    const top = this.at * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
    this.show();
  }

  show() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - BEYOND);
    const last = Math.min(this.items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + BEYOND);
    this.inner.style.height = `${this.items.length * ROW}px`;
    const rows = this.items.slice(first, last).map((item, index) => this.option(item, first + index));
    this.inner.replaceChildren(...rows);
    const current = this.at >= first && this.at < last ? `option-${this.at}` : null;
    if (current) this.box.setAttribute("aria-activedescendant", current);
    else this.box.removeAttribute("aria-activedescendant");
  }

  option(item, at) {
    const chosen = this.selected?.kind === item.kind && this.selected?.id === item.id;
    const option = make(
      "div",
      {
        role: "option",
        id: `option-${at}`,
        class: at === this.at ? "row current" : "row",
        "aria-selected": String(chosen),
        "aria-setsize": this.items.length,
        "aria-posinset": at + 1,
        "data-at": at,
      },
      ...this.row(item),
    );
    option.style.top = `${at * ROW}px`;
    return option;
  }
}
