// A page with a chat, as docs/ai.md shows it: commands on stdin, what the page shows on stdout.
// Arguments: the URL of the endpoints; the chat's id; the messages that the page starts with.
import { createInterface } from "node:readline";
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createElement, useEffect, useState } from "react";
import { create } from "react-test-renderer";

const [api, id, stored] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// Node's own fetch, which also tells the status, and names a cut connection as a browser does.
const fetchAndTell = async (url, options) => {
  const { status, headers, body } = await fetch(url, options);
  tell({ method: options.method, code: status });
  return new Response(body && withBrowserErrors(body.getReader()), { status, headers });
};

function withBrowserErrors(reader) {
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        const cut = error instanceof TypeError && error.message === "terminated";
        controller.error(cut ? new TypeError("network error") : error);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

const transport = new DefaultChatTransport({ api, fetch: fetchAndTell });
const initial = JSON.parse(stored);
let chat;

function Page() {
  const [ends, setEnds] = useState([]);
  chat = useChat({
    id,
    messages: initial,
    resume: true,
    transport,
    onFinish: ({ isAbort, isDisconnect, isError, finishReason }) =>
      setEnds((ends) => [...ends, { isAbort, isDisconnect, isError, finishReason }]),
  });
  const { status, messages, error } = chat;
  useEffect(() => {
    tell({ status, messages, error: error?.message ?? null, ends });
  });
  return null;
}

const commands = {
  send: ({ text }) => chat.sendMessage({ text }),
  resume: () => chat.resumeStream(),
  regenerate: () => chat.regenerate(),
  async stop() {
    await fetch(`${api}/${encodeURIComponent(id)}/stop`, { method: "POST" });
    await chat.stop();
  },
  async leave() {
    await chat.stop();
  },
};

create(createElement(Page));
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
