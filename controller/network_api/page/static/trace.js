// A frame that is typed in, and the path that it takes: drawn, and told flow by flow.

import { post } from "./api.js";
import { draw, facts, find, make, prose } from "./dom.js";

const FIELDS = ["from", "to", "frame", "size"];
const COPIES = 12; // that are drawn
const BOX = { width: 178, height: 62, gap: 46, between: 16 };

export class TraceView {
  constructor(model) {
    this.model = model;
    find("trace-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const given = FIELDS.map((name) => [name, find(`trace-${name}`).value.trim()]).filter(([, value]) => value);
      const hash = `#trace?${new URLSearchParams([...given, ["go", "1"]])}`;
      if (location.hash === hash) this.ask();
      else location.hash = hash;
    });
    new ResizeObserver(() => this.width !== find("trace-told").clientWidth && this.told()).observe(find("trace-told"));
    model.listeners.add(() => this.visible && this.named !== model.ports.size && this.told()); // names are known now
  }

  // parameters: what the form has; go: ask at once.
  show(parameters) {
    this.visible = true;
    for (const name of FIELDS) {
      if (parameters.has(name) || parameters.has("go")) find(`trace-${name}`).value = parameters.get(name) ?? "";
    }
    if (parameters.has("go")) this.ask();
    else find(find("trace-from").value ? "trace-to" : "trace-from").focus();
  }

  hide() {
    this.visible = false;
  }

  async ask() {
    const asked = {};
    for (const name of FIELDS) {
      const value = find(`trace-${name}`).value.trim();
      if (value) asked[name] = name === "size" ? Number(value) : value;
    }
    this.say("Tracing", "");
    this.answer = null;
    find("trace-told").replaceChildren();
    try {
      const answer = await post("tunbridge/host/trace", { trace: asked });
      this.answer = answer;
      this.told();
    } catch (error) {
      this.say(error.message, "bad");
    }
  }

  say(text, kind) {
    const said = find("trace-said");
    said.textContent = text;
    said.className = `said sentence ${kind}`;
  }

  told() {
    const answer = this.answer;
    if (!answer || !this.visible) return;
    const width = (this.width = find("trace-told").clientWidth);
    this.named = this.model.ports.size;
    this.say(this.model.named(answer.sentence), answer.delivered ? "good" : "bad");
    const remedy = answer.remedy ? make("p", { class: "remedy" }, make("strong", {}, "What would change that: "), answer.remedy) : null;
    const silent = answer.silent.map((one) => make("p", { class: "note" }, `Not known: ${one}`));
    find("trace-told").replaceChildren(
      ...[remedy, ...silent, path(answer, this.model, width)].filter(Boolean),
      answer.frame ? facts([["Frame", make("code", {}, answer.frame)]]) : "",
      make("ol", { class: "hops" }, ...answer.hops.map(hop)),
    );
  }
}

function hop(one) {
  const place = make("strong", {}, `${one.host} ${one.bridge}`);
  const flow = one.priority === null ? "no flow matches" : `priority ${one.priority}${one.match ? `, ${one.match}` : ""}`;
  const of = one.of ? ` (of ${one.of.kind} ${one.of.id})` : "";
  return make(
    "li",
    {},
    make("p", {}, place, one.table ? ` table ${one.table}` : "", " ", make("code", {}, flow)),
    make("p", {}, ...prose(one.meaning ?? (one.priority === null ? "" : "A flow of others.")), make("span", { class: "muted" }, of)),
    ...one.actions.map((action) => make("p", { class: "action" }, make("code", {}, action))),
    ...one.remarks.map((remark) => make("p", { class: "action" }, `→ ${remark}`)),
  );
}

// The drawing as a tree: who sends, each bridge that the frame passes, and behind it the copies that leave there.
export function tree(answer, model) {
  const named = (id) => model.ports.get(id)?.name ?? id?.slice(0, 8) ?? "";
  const source = answer.from;
  const root = { title: source.arriving ? "another host" : named(source.port), lines: [source.arriving ?? source.device ?? "", `host ${source.host}`], kind: "end", children: [] };
  const bridges = [];
  for (const one of answer.hops) {
    let bridge = bridges.find((known) => known.host === one.host && known.title === one.bridge);
    if (!bridge) {
      bridge = { title: one.bridge, host: one.host, tables: new Set(), tunnel: false, kind: "bridge", children: [] };
      parentOf(bridge, bridges, source, root).children.push(bridge);
      bridges.push(bridge);
    }
    bridge.tables.add(one.table || "0");
    bridge.tunnel ||= [...one.actions, ...one.remarks].some((words) => /tun(_id|nel)/.test(words));
  }
  for (const bridge of bridges) bridge.lines = [`host ${bridge.host}`, `table ${[...bridge.tables].join(" → ")}`];
  const copies = answer.copies.length ? answer.copies : [{ kind: "", host: source.host, reason: answer.reason ?? "", by: "" }];
  for (const copy of copies.slice(0, COPIES)) leaving(copy, bridges, source, root).children.push(copyBox(copy, named));
  if (copies.length > COPIES) root.children.push({ title: `and ${copies.length - COPIES} more`, lines: ["", "the list has them"], kind: "bridge", children: [] });
  for (const bridge of bridges) if (!bridge.children.length) bridge.lines[1] += ", and no further";
  return root;
}

// What a bridge is reached from: the first one of its host by patch ports; of another host the last one before.
function parentOf(bridge, bridges, source, root) {
  if (!bridges.length) return root;
  const own = bridges.filter((known) => known.host === bridge.host);
  return own.length ? (source.arriving ? own.at(-1) : own[0]) : bridges.at(-1);
}

// The bridge by which a copy leaves.
function leaving(copy, bridges, source, root) {
  if (!bridges.length) return root;
  const own = bridges.filter((known) => known.host === copy.host);
  if (own.length && (copy.kind === "port" || copy.kind === "bridge")) return source.arriving ? own.at(-1) : own[0];
  const others = bridges.slice(1);
  return others.find((known) => known.tunnel === /tunnel/.test(copy.by)) ?? bridges.at(-1);
}

function copyBox(copy, named) {
  const title = copy.port ? named(copy.port) : copy.kind === "host" ? `host ${copy.host}` : (copy.device ?? (copy.kind || "dropped"));
  const own = copy.kind === "bridge" ? "the bridge's own device" : copy.is_asked ? "delivered" : "as the topology says";
  const dropped = copy.reason !== null;
  return { title, lines: [copy.host ? `host ${copy.host}` : "", dropped ? "dropped" : own], kind: dropped ? "dropped" : "delivered", by: [copy.by, copy.reason].filter(Boolean).join(", "), children: [], last: true };
}

const depth = (node) => 1 + Math.max(0, ...node.children.map(depth));

function path(answer, model, width) {
  const root = tree(answer, model);
  const columns = depth(root);
  return columns * BOX.width + (columns - 1) * BOX.gap + 8 <= width ? pathAcross(root, columns, answer) : pathDown(root, answer, width);
}

// From left to right; what has nothing behind it has a line of its own, so that no arrow goes through a box.
function pathAcross(root, columns, answer) {
  const [boxes, arrows] = [[], []];
  let lines = 0;
  const left = (column) => column * (BOX.width + BOX.gap) + 2;
  const place = (node, column) => {
    const x = left(node.last ? columns - 1 : column);
    const ends = node.children.map((child) => ({ child, ...place(child, column + 1) }));
    const y = ends.length ? (ends[0].y + ends.at(-1).y) / 2 : lines++ * (BOX.height + BOX.between) + 2;
    for (const end of ends) arrows.push(arrow(x + BOX.width, y + BOX.height / 2, end.x, end.y + BOX.height / 2, end.child.kind));
    boxes.push(box(node, x, y, BOX.width));
    return { x, y };
  };
  place(root, 0);
  return picture(left(columns - 1) + BOX.width + 2, lines * (BOX.height + BOX.between), [...arrows, ...boxes], answer);
}

// From top to bottom, what is behind something further to the right.
function pathDown(root, answer, width) {
  const [boxes, arrows] = [[], []];
  let lines = 0;
  const place = (node, level) => {
    const [x, y] = [2 + level * 26, lines++ * (BOX.height + 12) + 2];
    boxes.push(box(node, x, y, Math.min(300, width - x - 6)));
    for (const child of node.children) {
      const end = place(child, level + 1);
      arrows.push(elbow(x + 12, y + BOX.height, end.x, end.y + BOX.height / 2, child.kind));
    }
    return { x, y };
  };
  place(root, 0);
  return picture(Math.min(width - 2, 300 + 26 * depth(root)), lines * (BOX.height + 12), [...arrows, ...boxes], answer);
}

function picture(width, height, parts, answer) {
  return draw("svg", { class: "path", role: "img", "aria-label": `Path of the frame: ${answer.sentence}`, width, height, viewBox: `0 0 ${width} ${height}` }, ...parts);
}

function box({ title, lines, kind, by }, x, y, width) {
  const cut = (text) => (text.length > width / 6.6 ? `${text.slice(0, Math.floor(width / 6.6) - 1)}…` : text);
  return draw(
    "g",
    { class: `box ${kind}`, transform: `translate(${x} ${y})` },
    draw("title", {}, [title, ...lines, by].filter(Boolean).join(", ")),
    draw("rect", { width, height: BOX.height, rx: 8 }),
    draw("text", { class: "name", x: 12, y: 22 }, cut(title)),
    draw("text", { class: "small", x: 12, y: 38 }, cut(lines[0] ?? "")),
    draw("text", { class: "small", x: 12, y: 53 }, cut(lines[1] ?? "")),
  );
}

function arrow(x1, y1, x2, y2, kind = "") {
  const bend = (x2 - x1) / 2;
  return head(`M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 2} ${y2}`, x2, y2, kind);
}

function elbow(x1, y1, x2, y2, kind = "") {
  return head(`M${x1} ${y1}V${y2}H${x2 - 2}`, x2, y2, kind);
}

function head(curve, x, y, kind) {
  return draw("path", { class: `arrow ${kind}`, d: `${curve}M${x - 8} ${y - 5}L${x - 1} ${y}L${x - 8} ${y + 5}` });
}
