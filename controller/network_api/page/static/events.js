// What has happened, as the event stream tells it: the newest first, some hundred of them.

import { counted, find, number } from "./dom.js";
import { eventRow } from "./details.js";

const MOST = 1000;
const ROWS = 300;
const BAD = new Set(["WARNING", "ERROR", "CRITICAL"]);

export class EventsView {
  constructor(model) {
    this.model = model;
    this.events = [];
    this.missed = 0;
    this.visible = false;
    find("events-form").addEventListener("submit", (event) => event.preventDefault());
    for (const id of ["events-match", "events-bad"]) find(id).addEventListener("input", () => this.draw());
  }

  add(event) {
    this.events.unshift(event);
    this.events.length = Math.min(this.events.length, MOST);
    if (this.visible) this.draw();
  }

  gap(missed) {
    this.missed += missed ?? 1;
    if (this.visible) this.draw();
  }

  show() {
    this.visible = true;
    this.draw();
  }

  hide() {
    this.visible = false;
  }

  draw() {
    const words = find("events-match").value.toLowerCase().split(/\s+/).filter(Boolean);
    const bad = find("events-bad").checked;
    const found = this.events.filter((one) => {
      if (bad && !BAD.has(one.severity)) return false;
      const text = words.length ? JSON.stringify(one).toLowerCase() : "";
      return words.every((word) => text.includes(word));
    });
    const shown = found.length > ROWS ? `, the newest ${ROWS} of which are shown` : "";
    const missed = this.missed ? ` · ${number(this.missed)} or more were missed` : "";
    find("events-said").textContent = found.length ? `${counted(found.length, "event")}${shown}${missed}` : `No events yet${missed}`;
    find("events-list").replaceChildren(...found.slice(0, ROWS).map((one) => eventRow(one, this.model)));
  }
}
