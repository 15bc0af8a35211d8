// The map: a tile for each host with a cell for each of its ports, networks below, tunnels as arcs between hosts.
// Cells of one state are one path of a tile, so that ten thousand ports are some hundred elements.

import { counted, draw } from "./dom.js";
import { byName } from "./model.js";

const GAP = 26;
const HEAD = 44; // of a tile, above the cells
const ARCS = 46; // above each line of tiles, for tunnels
const CHIP = { width: 168, height: 44, gap: 12 };
const CELLS_MAX = 2000; // of a tile
const CHIPS_MAX = 400;
const STATES = ["active", "build", "down", "error"];
const NOWHERE = "";

const rect = (x, y, size) => `M${x} ${y}h${size}v${size}h${-size}z`;

export class TopologyMap {
  constructor(box, tip, { chosen }) {
    this.box = box;
    this.tip = tip;
    this.chosen = chosen;
    this.selected = null;
    this.tiles = new Map();
    this.chips = new Map();
    new ResizeObserver(() => this.width !== box.clientWidth && this.model && this.show(this.model)).observe(box);
  }

  select(object) {
    this.selected = object;
    if (this.model) this.show(this.model);
  }

  show(model) {
    this.model = model;
    this.width = Math.max(240, this.box.clientWidth);
    const ports = new Map();
    this.members = new Map(); // number of ports of each network
    for (const port of model.sortedPorts()) {
      if (!ports.has(port.host)) ports.set(port.host, []);
      ports.get(port.host).push(port);
      this.members.set(port.network, (this.members.get(port.network) ?? 0) + 1);
    }
    const places = model.places;
    if (ports.has(NOWHERE)) places.push({ kind: "nowhere", id: NOWHERE, name: "not on a host", state: "down", alive: null });
    const bottom = this.place(places, ports);
    const { below, hidden } = this.placeChips([...model.networks.values()].sort(byName), bottom);
    const focused = this.focusedKey();
    const svg = draw("svg", { width: this.width, height: below, viewBox: `0 0 ${this.width} ${below}`, class: "topology" });
    const hosts = draw("g", { role: "group", "aria-label": "Hosts" }, ...[...this.tiles.values()].map((tile) => this.tile(tile)));
    const networks = draw("g", { role: "group", "aria-label": "Networks" }, ...[...this.chips.values()].map((chip) => this.chip(chip)));
    svg.append(draw("g", { class: "arcs", "aria-hidden": "true" }, ...this.arcs()), hosts);
    if (this.chips.size) svg.append(draw("text", { class: "heading", x: 2, y: bottom + 20 }, "Networks"), networks);
    if (hidden) svg.append(draw("text", { class: "small", x: 2, y: below - 4 }, `and ${counted(hidden, "more network")}: search for them`));
    svg.append(draw("g", { class: "links", "aria-hidden": "true" }, ...this.links()));
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("click", (event) => this.click(event));
    svg.addEventListener("pointermove", (event) => this.hover(event));
    svg.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.box.replaceChildren(svg);
    this.rove(hosts, focused);
    this.rove(networks, focused);
  }

  // Where tiles are; the height of a line of them is that of its largest.
  place(places, ports) {
    this.tiles.clear();
    const most = Math.max(1, ...[...ports.values()].map((list) => Math.min(list.length, CELLS_MAX)));
    const pitch = most <= 30 ? 18 : most <= 150 ? 11 : 8;
    const wanted = places.length <= 4 ? 200 : 180;
    const columns = Math.max(1, Math.min(places.length || 1, Math.floor((this.width + GAP) / (wanted + GAP))));
    const width = Math.min(360, Math.floor((this.width - (columns - 1) * GAP) / columns));
    const across = Math.max(1, Math.floor((width - 20) / pitch));
    this.oneLine = places.length <= columns; // then all tunnels are drawn, else those of what is selected
    const above = this.oneLine ? ARCS : GAP;
    let y = above;
    for (let first = 0; first < places.length; first += columns) {
      const line = places.slice(first, first + columns);
      const rows = Math.max(1, ...line.map((host) => Math.ceil(Math.min(ports.get(host.id)?.length ?? 0, CELLS_MAX) / across)));
      line.forEach((host, index) => {
        const own = ports.get(host.id) ?? [];
        const x = index * (width + GAP);
        this.tiles.set(host.id, { host, ports: own, x, y, width, height: HEAD + rows * pitch + 10, pitch, across });
      });
      y += HEAD + rows * pitch + 10 + above;
    }
    return y - above + 14;
  }

  placeChips(networks, top) {
    this.chips.clear();
    const columns = Math.max(1, Math.floor((this.width + CHIP.gap) / (CHIP.width + CHIP.gap)));
    networks.slice(0, CHIPS_MAX).forEach((network, index) => {
      const x = (index % columns) * (CHIP.width + CHIP.gap);
      const y = top + 32 + Math.floor(index / columns) * (CHIP.height + CHIP.gap);
      this.chips.set(network.id, { network, x, y });
    });
    const lines = Math.ceil(Math.min(networks.length, CHIPS_MAX) / columns);
    const hidden = Math.max(0, networks.length - CHIPS_MAX);
    return { below: top + (lines ? 36 : 8) + lines * (CHIP.height + CHIP.gap) + (hidden ? 20 : 0), hidden };
  }

  isSelected(kind, id) {
    return this.selected?.kind === kind && this.selected?.id === id;
  }

  // Whether it has to do with what is selected.
  concerned(kind, id) {
    const one = this.selected;
    if (!one || this.isSelected(kind, id)) return true;
    if (one.kind === "port") return (kind === "host" && one.host === id) || (kind === "network" && one.network === id);
    if (kind === one.kind) return false;
    const host = kind === "host" ? id : one.id;
    const network = kind === "network" ? id : one.id;
    return (this.tiles.get(host)?.ports ?? []).some((port) => port.network === network);
  }

  tile({ host, ports, x, y, width, height, pitch, across }) {
    const counts = Object.fromEntries(STATES.map((state) => [state, ports.filter((port) => port.state === state).length]));
    const wrong = [counts.error && `${counts.error} refused`, counts.down && `${counts.down} down`, counts.build && `${counts.build} being built`];
    const said = host.kind === "nowhere" ? "" : host.alive === false ? "silent" : host.alive ? "alive" : "not registered";
    const label = [host.kind === "nowhere" ? host.name : `Host ${host.name}`, said, counted(ports.length, "port"), ...wrong].filter(Boolean).join(", ");
    const kind = host.kind;
    const classes = ["tile", host.state, kind, this.concerned("host", host.id) ? "" : "faded"].join(" ");
    const size = pitch - (pitch > 12 ? 4 : 2);
    const paths = STATES.map((state) => {
      const shape = ports.slice(0, CELLS_MAX).map((port, index) => {
        if (port.state !== state) return "";
        return rect(10 + (index % across) * pitch, HEAD + Math.floor(index / across) * pitch, size);
      });
      return shape.some(Boolean) ? draw("path", { class: `cells ${state}`, d: shape.join("") }) : null;
    });
    const group = draw(
      "g",
      { class: classes, role: "button", tabindex: -1, "aria-label": label, "aria-pressed": String(this.isSelected("host", host.id)), "data-kind": kind, "data-id": host.id, transform: `translate(${x} ${y})` },
      draw("rect", { class: "plate", width, height, rx: 8 }),
      draw("circle", { class: "state", cx: 16, cy: 17, r: 4.5 }),
      draw("text", { class: "name", x: 27, y: 21.5 }, shortened(host.name, width - 90)),
      draw("text", { class: "small end", x: width - 10, y: 21 }, counted(ports.length, "port")),
      draw("text", { class: "small", x: 10, y: 36 }, shortened([host.address, wrong.filter(Boolean).join(", ")].filter(Boolean).join(" · ") || said, width - 16)),
      ...paths,
    );
    const marked = this.selected && this.selected.kind !== "host" ? ports.slice(0, CELLS_MAX).flatMap((port, index) => (this.marks(port) ? [index] : [])) : [];
    if (marked.length) {
      const shape = marked.map((index) => rect(9 + (index % across) * pitch, HEAD - 1 + Math.floor(index / across) * pitch, size + 2));
      group.append(draw("path", { class: "marked", d: shape.join("") }));
    }
    return group;
  }

  marks(port) {
    return this.selected.kind === "network" ? port.network === this.selected.id : port.id === this.selected.id;
  }

  chip({ network, x, y }) {
    const members = this.members.get(network.id) ?? 0;
    const label = `Network ${network.name}, ${network.segment}, ${counted(members, "port")}`;
    const faded = this.concerned("network", network.id) ? "" : "faded";
    return draw(
      "g",
      { class: `chip ${network.state} ${faded}`, role: "button", tabindex: -1, "aria-label": label, "aria-pressed": String(this.isSelected("network", network.id)), "data-kind": "network", "data-id": network.id, transform: `translate(${x} ${y})` },
      draw("rect", { class: "plate", width: CHIP.width, height: CHIP.height, rx: 22 }),
      draw("text", { class: "name", x: 18, y: 19 }, shortened(network.name, CHIP.width - 32)),
      draw("text", { class: "small", x: 18, y: 34 }, shortened([network.segment, counted(members, "port")].filter(Boolean).join(" · "), CHIP.width - 32)),
    );
  }

  // Tunnels: all where they can be told apart, else those of the selected host.
  arcs() {
    const host = this.selected?.kind === "host" ? this.selected.id : null;
    if (!this.oneLine && host === null) return [];
    const pairs = this.model.tunnels(this.oneLine ? null : host);
    return pairs.flatMap(({ ends, types }) => {
      const [one, other] = ends.map((name) => this.tiles.get(name));
      if (!one || !other) return [];
      const [x1, x2] = [one.x + one.width / 2, other.x + other.width / 2];
      const rise = Math.min(this.oneLine ? 40 : 120, 18 + Math.hypot(x2 - x1, other.y - one.y) * 0.07);
      const selected = host !== null && ends.includes(host);
      const arc = draw("path", { class: selected ? "arc selected" : "arc", d: `M${x1} ${one.y}C${x1} ${one.y - rise} ${x2} ${other.y - rise} ${x2} ${other.y}` });
      if (!this.oneLine) return [arc];
      return [arc, draw("text", { class: "small middle", x: (x1 + x2) / 2, y: (one.y + other.y) / 2 - rise * 0.75 - 5 }, [...types].join(", "))];
    });
  }

  // From the network of what is selected to its hosts, or from a host to its networks.
  links() {
    const one = this.selected;
    if (!one || one.kind === "nowhere") return [];
    const ports = [...this.tiles.values()].flatMap((tile) => tile.ports.filter((port) => port.host !== NOWHERE && (one.kind === "host" ? port.host === one.id : this.marks(port))));
    const pairs = new Map(ports.map((port) => [`${port.host} ${port.network}`, port]));
    return [...pairs.values()].slice(0, CHIPS_MAX).flatMap((port) => {
      const [tile, chip] = [this.tiles.get(port.host), this.chips.get(port.network)];
      if (!tile || !chip) return [];
      const [x1, y1] = [tile.x + tile.width / 2, tile.y + tile.height];
      const [x2, y2] = [chip.x + CHIP.width / 2, chip.y];
      const bend = Math.max(12, (y2 - y1) / 2);
      return [draw("path", { class: "wire", d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}` })];
    });
  }

  // One tile and one chip can be reached with Tab, the others from there with arrows.

  focusedKey() {
    const element = document.activeElement?.closest?.(".topology [role=button]");
    return element ? `${element.dataset.kind} ${element.dataset.id}` : null;
  }

  rove(group, focused) {
    const all = [...group.children];
    const was = focused && all.find((one) => `${one.dataset.kind} ${one.dataset.id}` === focused);
    const selected = all.find((one) => this.isSelected(one.dataset.kind, one.dataset.id));
    (was ?? selected ?? all[0])?.setAttribute("tabindex", "0");
    if (was) was.focus({ preventScroll: true });
  }

  key(event) {
    const own = event.target.closest("[role=button]");
    if (!own) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(own);
      return;
    }
    const all = [...own.parentNode.children];
    const at = all.indexOf(own);
    const top = (one) => one.getBoundingClientRect().top;
    const columns = Math.max(1, all.findIndex((one) => top(one) > top(all[0]) + 2)) || all.length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: all.length - 1 - at };
    const next = all[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    own.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  portAt(event) {
    const element = event.target.closest(".tile");
    const tile = element && this.tiles.get(element.dataset.id);
    if (!tile) return null;
    const box = this.box.firstChild.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - tile.x - 9) / tile.pitch);
    const row = Math.floor((event.clientY - box.top - tile.y - HEAD + 1) / tile.pitch);
    if (column < 0 || row < 0 || column >= tile.across) return null;
    return tile.ports[row * tile.across + column] ?? null;
  }

  click(event) {
    const port = this.portAt(event);
    const element = event.target.closest("[role=button]");
    if (port) this.chosen(port);
    else if (element) this.choose(element);
    else this.chosen(null);
  }

  choose(element) {
    const { kind, id } = element.dataset;
    if (kind !== "nowhere") this.chosen(this.model.object(kind, id));
  }

  hover(event) {
    const port = this.portAt(event);
    this.tip.hidden = port === null;
    if (!port) return;
    this.tip.textContent = [port.name, port.addresses.join(", "), port.status.toLowerCase()].filter(Boolean).join(" · ");
    this.tip.style.left = `${Math.min(event.clientX + 14, innerWidth - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${event.clientY + 16}px`;
  }
}

// As much of a text as has room, for letters of some seven pixels.
function shortened(text, width) {
  const most = Math.max(3, Math.floor(width / 6.8));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
