// The measured process of the npm package: the same commands and answers as agent/program.py.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { cpuSeconds, memory } from "./gauges.mjs";
import { serve } from "./serving.mjs";

const CHUNK = 40;
const FILLER = " goes on, and on, and on, and on, and on";
const AT_ONCE = 50;
const LOOK_EVERY = 256;
const TICK = 1e6;

// The clock of Python's time.monotonic_ns.
const now = () => Number(process.hrtime.bigint());
const turn = () => new Promise(setImmediate);

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

function textOf(salt, chunks) {
  const tail = ` ${salt}${FILLER}`.slice(0, CHUNK - 8);
  const parts = [];
  for (let number = 0; number < chunks; number++) parts.push(String(number).padStart(8, "0"), tail);
  return Buffer.from(parts.join(""), "latin1");
}

class Source {
  constructor(text, { gate_at = 0, pace = null, limit = 60, phase = 0, timed = false }) {
    Object.assign(this, { text, gateAt: gate_at, pace, limit, phase, timed });
    this.count = 0;
    this.sent = [];
    this.atGate = deferred();
    this.gate = deferred();
  }

  open = () => {
    const chunks = this.#run();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
  };

  #take() {
    if (this.timed) this.sent.push(now());
    const start = this.count++ * CHUNK;
    // Not a slice of one string: a real source creates a new string for each chunk.
    return this.text.latin1Slice(start, start + CHUNK);
  }

  async *#run() {
    while (this.count < this.gateAt) yield this.#take();
    if (this.gateAt) {
      this.atGate.resolve();
      await this.gate.promise;
    }
    const begun = now() + this.phase * 1e9;
    const giveUp = begun + this.limit * 1e9;
    const first = this.count;
    while (this.count * CHUNK < this.text.length) {
      if (this.pace === 0) await turn();
      else if (this.pace !== null) {
        const due = begun + (this.count - first) * this.pace * 1e9;
        await sleep(Math.max(0, due - now()) / 1e6);
      }
      if ((this.pace || this.count % LOOK_EVERY === 0) && now() > giveUp) return;
      yield this.#take();
    }
  }
}

class Reading {
  constructor(stream, text, { mark = 0, timed = false } = {}) {
    Object.assign(this, { stream, text: text.latin1Slice(0), mark, timed });
    this.position = this.first = this.caughtUp = this.ended = 0;
    this.fault = null;
    this.ends = [];
    this.times = [];
    this.hasFirst = deferred();
    this.hasCaughtUp = deferred();
    this.hasEnded = deferred();
  }

  async run(stream) {
    try {
      const reader = stream.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (!this.first) {
          this.first = now();
          this.hasFirst.resolve();
        }
        if (done) break;
        if (!this.text.startsWith(value, this.position)) this.#differs(value);
        this.position += value.length;
        if (!this.caughtUp && this.position >= this.mark) {
          this.caughtUp = now();
          this.hasCaughtUp.resolve();
        }
        if (this.timed) {
          this.ends.push(this.position);
          this.times.push(now());
        }
      }
    } catch (error) {
      this.fault ??= String(error);
    } finally {
      this.ended = now();
      for (const state of [this.hasFirst, this.hasCaughtUp, this.hasEnded]) state.resolve();
    }
  }

  #differs(value) {
    const expected = this.text.slice(this.position, this.position + value.length);
    const quoted = [value, expected].map((text) => JSON.stringify(text.slice(0, 58)));
    this.fault ??= `at ${this.position}: ${quoted[0]} instead of ${quoted[1]}`;
  }

  latencies(sent) {
    const found = [];
    let number = this.ends.length ? Math.floor(this.ends[0] / CHUNK) : 0;
    this.ends.forEach((end, at) => {
      for (; (number + 1) * CHUNK <= end; number++) found.push(this.times[at] - sent[number]);
    });
    return found;
  }
}

let context;
let begun = 0;
let cpu = 0;
let slept = 0;
let worst = 0;
let ticking;
const texts = new Map();
const sources = new Map();
const own = new Map();
let listeners = [];

function tick() {
  slept = now();
  ticking = setTimeout(() => {
    worst = Math.max(worst, now() - slept - TICK);
    tick();
  }, 1);
}

function watch() {
  global.gc();
  worst = 0;
  slept = begun = now();
  if (!ticking) tick();
  cpu = cpuSeconds();
}

const gauges = () => ({
  lag_ms: worst / 1e6,
  cpu_seconds: cpuSeconds() - cpu,
  elapsed: (now() - begun) / 1e9,
  released_ns: begun,
});

const text = (stream, chunks) => texts.get(stream) ?? textOf(stream, chunks);

function faultsOf(readings, counts) {
  const found = readings.map((reading) => reading.fault).filter(Boolean);
  for (const { fault, stream, position } of readings) {
    const size = (counts[stream] ?? Math.floor(position / CHUNK)) * CHUNK;
    if (!fault && position !== size) found.push(`ended after ${position} of ${size} characters`);
  }
  return found;
}

async function inTurns(items, act) {
  const made = [];
  for (let at = 0; at < items.length; at += AT_ONCE) {
    const some = items.slice(at, at + AT_ONCE);
    made.push(...(await Promise.all(some.map((item, number) => act(item, at + number)))));
  }
  return made;
}

const commands = {
  async open({ url }) {
    process.env.REDIS_URL = url;
    const { createResumableStreamContext } = await import("resumable-stream");
    context = createResumableStreamContext({ waitUntil: null });
    tick();
  },
  async prepare({ streams, chunks }) {
    for (const stream of streams) texts.set(stream, textOf(stream, chunks));
  },
  async produce({ streams, chunks, spread = 0, timed = false, ...settings }) {
    watch();
    await inTurns(streams, async (stream, number) => {
      const phase = (spread * number) / streams.length;
      const whole = text(stream, chunks);
      const source = new Source(whole, { ...settings, phase, timed });
      const reading = new Reading(stream, whole, { timed });
      sources.set(stream, source);
      own.set(stream, reading);
      reading.run(await context.createNewResumableStream(stream, source.open));
      if (settings.gate_at) await source.atGate.promise;
    });
    return { seconds: (now() - begun) / 1e9 };
  },
  async serve() {
    return serve(context);
  },
  async watch({ lag = true } = {}) {
    watch();
    if (!lag) {
      clearTimeout(ticking);
      ticking = undefined;
    }
  },
  async release(settings) {
    await commands.watch(settings);
    for (const source of sources.values()) source.gate.resolve();
  },
  async finish() {
    const readings = [...own.values()];
    await Promise.all(readings.map((reading) => reading.hasEnded.promise));
    const counts = Object.fromEntries([...sources].map(([stream, { count }]) => [stream, count]));
    const ended = readings.reduce((latest, reading) => Math.max(latest, reading.ended), 0);
    return {
      ...gauges(),
      seconds: (ended - begun) / 1e9,
      counts,
      faults: faultsOf(readings, counts),
    };
  },
  async attach({ streams, chunks, mark = 0, timed = false }) {
    const asked = now();
    const made = await inTurns(streams, async (stream) => {
      const reading = new Reading(stream, text(stream, chunks), { mark: mark * CHUNK, timed });
      listeners.push(reading);
      const resumed = await context.resumeExistingStream(stream);
      if (!resumed) throw new Error(`resuming gave ${resumed}`);
      reading.run(resumed);
      await reading.hasFirst.promise;
      return reading;
    });
    await Promise.all(made.map((reading) => reading.hasCaughtUp.promise));
    const firsts = made.map((reading) => reading.first - asked).sort((a, b) => a - b);
    return {
      first_ms: firsts[firsts.length >> 1] / 1e6,
      caught_up_ms: Math.max(...made.map((reading) => reading.caughtUp - asked)) / 1e6,
      faults: made.map((reading) => reading.fault).filter(Boolean),
    };
  },
  async read({ counts = {} }) {
    await Promise.all(listeners.map((reading) => reading.hasEnded.promise));
    return {
      ended_ns: Math.max(...listeners.map((reading) => reading.ended)),
      delivered: listeners.reduce((sum, reading) => sum + reading.position, 0) / CHUNK,
      faults: faultsOf(listeners, counts),
    };
  },
  async sent() {
    return Object.fromEntries([...sources].map(([stream, { sent }]) => [stream, sent]));
  },
  async latencies({ sent, own: ours = false }) {
    const readings = ours ? [...own.values()] : listeners;
    const found = readings.flatMap((reading) => reading.latencies(sent[reading.stream]));
    found.sort((a, b) => a - b);
    const at = (part) => found[Math.floor(found.length * part)] / 1e6;
    if (!found.length) throw new Error("no chunk came after the gate");
    return { p50_ms: at(0.5), p99_ms: at(0.99) };
  },
  async gauges() {
    return { ...gauges(), memory: memory() };
  },
  async forget() {
    for (const kept of [texts, sources, own]) kept.clear();
    listeners = [];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...fields } = JSON.parse(line);
  let said;
  try {
    said = { answer: await commands[name](fields) };
  } catch (error) {
    said = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
process.exit(0);
