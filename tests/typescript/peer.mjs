// The TypeScript side of the tests: JSON commands on stdin, JSON events on stdout, a line each.
// Every event carries the id of the command it belongs to.
import { createInterface } from "node:readline";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";

// The package connects by itself, to REDIS_URL.
const context = createResumableStreamContext({ waitUntil: null });
const sources = new Map();
const readers = new Map();

const tell = (id, event) => process.stdout.write(`${JSON.stringify({ id, ...event })}\n`);

function sourceOf(command) {
  return () => {
    tell(command.id, { made: true });
    return new ReadableStream({
      start(controller) {
        sources.set(command.stream, controller);
        feed(controller, command);
      },
    });
  };
}

// The package's own clients end the process when they lose their connection; these come back.
const connected = () =>
  createClient({ url: process.env.REDIS_URL }).on("error", () => {}).connect();

async function lastingContext() {
  const [subscriber, publisher] = await Promise.all([connected(), connected()]);
  return createResumableStreamContext({ waitUntil: null, subscriber, publisher });
}

function feed(controller, { chunks = [], close = false }) {
  chunks.forEach((chunk) => controller.enqueue(chunk));
  if (close) controller.close();
}

async function readOut(id, stream) {
  const reader = stream.getReader();
  readers.set(id, reader);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    tell(id, { chunk: value });
  }
  tell(id, { end: true });
}

async function attach(id, stream) {
  if (stream === null || stream === undefined) {
    tell(id, { attached: stream === null ? "over" : "unknown" });
    return;
  }
  tell(id, { attached: "reading" });
  await readOut(id, stream);
}

const commands = {
  start: async (c) => attach(c.id, await context.resumableStream(c.stream, sourceOf(c), c.skip)),
  create: async (c) => attach(c.id, await context.createNewResumableStream(c.stream, sourceOf(c))),
  resume: async (c) => attach(c.id, await context.resumeExistingStream(c.stream, c.skip)),
  resumeLastingly: async (c) =>
    attach(c.id, await (await lastingContext()).resumeExistingStream(c.stream, c.skip)),
  exists: async (c) => tell(c.id, { exists: await context.hasExistingStream(c.stream) }),
  feed: async (c) => feed(sources.get(c.stream), c),
  fail: async (c) => sources.get(c.stream).error(new Error("the source failed")),
  leave: async (c) => readers.get(c.reader).cancel(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command).catch((error) => tell(command.id, { error: error.message }));
}
process.exit(0);
