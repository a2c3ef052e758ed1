"use strict";

const $ = (selector) => document.querySelector(selector);
const count = (number) => number.toLocaleString("en");
const INSTANCES = { A: 60, B: 180, C: 300 };
const POLL = { active: 250, over: 1000 };
const PATIENCE = 5_000;
const LOST = ["producer_lost", "no_answer", "history_changed", "superseded"];

let about;
let answer;
let readers = [];
let picture = { state: "unknown", end: null, instances: [], readers: [] };
let end = 0;

class Reader {
  constructor(number) {
    this.number = number;
    this.id = uuid();
    this.over = false;
    this.marks = [];
    this.panel = $("#panel").content.firstElementChild.cloneNode(true);
    this.panel.id = `reader-${number}`;
    this.panel.querySelector("h2").textContent = `Reader ${number}`;
    this.status = this.panel.querySelector(".status");
    this.box = this.panel.querySelector(".text");
    this.box.setAttribute("aria-label", `What reader ${number} has received`);
    this.text = this.box.appendChild(document.createTextNode(""));
    // If the user scrolls up to read, the box stays there.
    this.following = true;
    this.box.onscroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = this.box;
      this.following = scrollHeight - scrollTop - clientHeight < 60;
    };
    for (const button of this.panel.querySelectorAll("button")) {
      button.onclick = () => post(`/readers/${this.id}/${button.dataset.trouble}`);
    }
    $("#readers").append(this.panel);
    this.connect();
  }

  // This is all that a page has to do: EventSource comes back after a cut by itself.
  connect() {
    const source = (this.source = new EventSource(`/read/${answer}/${this.id}`));
    source.onmessage = (event) => this.take(JSON.parse(event.data));
    source.addEventListener("done", () => this.complete());
    source.addEventListener("stream-error", (event) => this.fail(JSON.parse(event.data)));
    source.onopen = () => this.opened();
    source.onerror = () => this.interrupted();
  }

  take(chunk) {
    this.text.appendData(chunk);
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
  }

  opened() {
    if (this.waiting) this.marks.push(this.text.length);
    this.waiting = false;
    this.say(["Reading", resumed(this.marks.length)].filter(Boolean).join(", "));
  }

  interrupted() {
    if (this.source.readyState === EventSource.CLOSED) {
      this.load();
    } else {
      this.waiting = true;
      this.say("Connection lost. The browser comes back by itself.", "bad");
    }
  }

  async complete() {
    this.end("Complete.");
    const whole = await (await fetch("/text")).json();
    if (this.text.data === whole) {
      this.say(`Complete: exactly what was written, ${count(whole.length)} characters.`, "good");
    } else {
      this.say("Complete, but this is not what was written!", "bad");
    }
  }

  // The stream has completed, and its text is no longer kept. The application has stored it.
  async load() {
    this.end("This answer is over.");
    const response = await fetch(`/answers/${answer}/text`);
    if (!response.ok) return this.say("There is no such answer here. Start a new one.", "bad");
    this.text.data = await response.json();
    const length = count(this.text.length);
    this.say(`Complete: ${length} characters, loaded from the store, as the stream is over.`, "good");
  }

  fail({ code, message }) {
    const partly = `You see ${count(this.text.length)} characters, not the whole answer.`;
    if (code === "cancelled") this.end(`Stopped. ${partly}`, "bad");
    else if (LOST.includes(code)) this.end(`The producer is lost. ${partly}`, "bad");
    else this.end(`It ended early: ${message}. ${partly}`, "bad");
  }

  end(words, manner) {
    this.source.close();
    this.over = true;
    for (const button of this.panel.querySelectorAll("button")) button.disabled = true;
    this.say(words, manner);
  }

  say(words, manner = "") {
    this.status.textContent = words;
    this.status.className = `status ${manner}`;
  }

  leave() {
    this.source.close();
    this.panel.remove();
  }
}

function resumed(times) {
  if (!times) return "";
  return `resumed ${["once", "twice"][times - 1] ?? `${times} times`}`;
}

function uuid() {
  // crypto.randomUUID is missing from pages that came over the network without TLS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function post(path) {
  const response = await fetch(path, { method: "POST" });
  return response.status === 200 ? response.json() : null;
}

async function begin(id) {
  for (const reader of readers) reader.leave();
  readers = [];
  answer = id;
  end = 0;
  history.replaceState(null, "", `#${id}`);
  $("#tab").href = `#${id}`;
  $("#told").textContent = "";
  add();
}

function add() {
  readers.push(new Reader(readers.length + 1));
  const two = readers.length > 1;
  $("#readers").classList.toggle("two", two);
  $("#second").textContent = two ? "Close the second reader" : "Open a second reader";
}

$("#second").onclick = () => {
  if (readers.length === 1) return add();
  readers.pop().leave();
  $("#readers").classList.remove("two");
  $("#second").textContent = "Open a second reader";
};
$("#stop").onclick = async () => {
  const { instance, told } = await post(`/answers/${answer}/stop`);
  $("#told").textContent = `Instance ${instance} was asked to stop it: ${told.result}.`;
};
$("#kill").onclick = async () => {
  const { instance } = await post(`/answers/${answer}/kill`);
  if (instance) $("#told").textContent = `The process of instance ${instance} was killed.`;
};
$("#new").onclick = async () => {
  await post("/start");
  begin(uuid());
};
$("#pace").onchange = () => post(`/pace/${$("#pace").value}`);
addEventListener("hashchange", () => begin(location.hash.slice(1)));

async function watch() {
  for (;;) {
    if (!document.hidden) {
      try {
        const signal = AbortSignal.timeout(PATIENCE);
        picture = await (await fetch(`/answers/${answer}/picture`, { signal })).json();
        $("#notice").hidden = true;
        draw();
      } catch {
        $("#notice").textContent = "The demo does not answer. Was it ended?";
        $("#notice").hidden = false;
      }
    }
    const pause = picture.state === "active" ? POLL.active : POLL.over;
    await new Promise((resume) => setTimeout(resume, pause));
  }
}

// This page knows the offsets of its own readers; the server reports those of other tabs.
function seen() {
  const own = readers.map((reader) => ({
    name: `Reader ${reader.number}`,
    ...picture.readers.find((told) => told.id === reader.id),
    offset: reader.text.length,
    marks: reader.marks,
    over: reader.over,
  }));
  const others = picture.readers
    .filter((told) => told.connected && !readers.some((reader) => reader.id === told.id))
    .map((told) => ({ name: "Other tab", marks: [], over: false, ...told }));
  return [...own, ...others];
}

function draw() {
  const shown = seen();
  // A reader's text has been written: the server's number may be a moment older.
  end = Math.max(end, picture.end ?? 0, ...shown.map((reader) => reader.offset));
  $("#stop").disabled = $("#kill").disabled = picture.state !== "active";
  drawInstances(shown);
  const producer = picture.instances.find((instance) => instance.produces);
  const rows = [row("Written", end, producer ? producer.name : "", [], stateOf(producer))];
  for (const reader of shown) {
    const place = reader.over || !reader.instance ? "" : `through ${reader.instance}`;
    const notes = [reader.connected || reader.over ? place : "not connected"];
    const note = [...notes, resumed(reader.resumed)].filter(Boolean).join(", ");
    rows.push(row(reader.name, reader.offset, reader.instance ?? "", reader.marks, note));
  }
  update($("#bars"), rows);
}

function stateOf(producer) {
  if (producer) return `by instance ${producer.name}`;
  if (picture.state === "active") return "the producer does not answer";
  const words = { not_found: "no producer", lost: "the producer is lost", cancelled: "stopped" };
  return words[picture.state] ?? picture.state;
}

function row(name, offset, instance, marks, note) {
  return { name, offset, instance, marks, note };
}

// Rows are kept, so that a bar moves and does not flicker.
function update(table, rows) {
  while (table.children.length > rows.length) table.lastElementChild.remove();
  rows.forEach(({ name, offset, instance, marks, note }, index) => {
    const line = table.children[index] ?? table.appendChild(emptyRow());
    const percent = (part) => `${(100 * part) / about.total}%`;
    line.className = `row in-${instance}`;
    line.querySelector(".name").textContent = name;
    line.querySelector(".number").textContent = count(offset);
    line.querySelector(".note").textContent = note;
    line.querySelector(".fill").style.width = percent(offset);
    const bar = line.querySelector(".bar");
    bar.querySelectorAll(".mark").forEach((mark) => mark.remove());
    for (const mark of marks) bar.appendChild(element("span", "mark")).style.left = percent(mark);
  });
}

function emptyRow() {
  const line = element("div", "row");
  const bar = element("div", "bar");
  bar.append(element("div", "fill"));
  line.append(element("span", "name"), bar, element("span", "number"), element("span", "note"));
  return line;
}

function element(kind, name) {
  const made = document.createElement(kind);
  made.className = name;
  return made;
}

function drawInstances(shown) {
  const parts = [];
  shown.forEach((reader, index) => {
    const x = (360 * (index + 0.5)) / shown.length;
    if (reader.instance && !reader.over) {
      const style = reader.connected ? `wire used in-${reader.instance}` : "wire cut";
      parts.push(shape("line", { x1: x, y1: 34, x2: INSTANCES[reader.instance], y2: 84, class: style }));
    }
    parts.push(shape("rect", { x: x - 42, y: 8, width: 84, height: 26, rx: 13, class: "person" }));
    parts.push(shape("text", { x, y: 26 }, reader.name));
  });
  for (const { name, alive, produces } of picture.instances) {
    const x = INSTANCES[name];
    const serves = shown.some((one) => one.connected && !one.over && one.instance === name);
    const used = produces || serves ? `used in-${name}` : "";
    const state = produces ? "produces" : alive ? (serves ? "relays" : "idle") : "killed";
    const look = `box in-${name} ${produces ? "produces" : ""} ${alive ? "" : "dead"}`;
    parts.push(shape("line", { x1: x, y1: 128, x2: x, y2: 168, class: `wire ${used}` }));
    parts.push(shape("rect", { x: x - 44, y: 84, width: 88, height: 46, rx: 8, class: look }));
    parts.push(shape("text", { x, y: 104, class: produces ? "on" : "" }, name));
    parts.push(shape("text", { x, y: 120, class: produces ? "small on" : "small" }, state));
  }
  parts.push(shape("rect", { x: 16, y: 168, width: 328, height: 28, rx: 8, class: "broker" }));
  parts.push(shape("text", { x: 180, y: 186, class: "small" }, `broker: ${about.broker}`));
  $("svg").replaceChildren(...parts);
}

function shape(kind, attributes, words) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words) made.textContent = words;
  return made;
}

async function main() {
  about = await (await fetch("/about")).json();
  $("#kill").hidden = !about.mortal;
  $("#hint").hidden = about.mortal;
  $("#pace").value = about.pace;
  begin(/^#[0-9a-f-]{36}$/.test(location.hash) ? location.hash.slice(1) : uuid());
  watch();
}

main();
