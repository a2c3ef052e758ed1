// The npm package behind Node's own http, with the two routes of agent/web/routes.py.
import { once } from "node:events";
import { createServer } from "node:http";

async function answer(context, request, response) {
  const [, kind, stream] = request.url.split("/");
  if (kind === "status") {
    const found = await context.hasExistingStream(stream);
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ state: String(found) }));
    return;
  }
  const resumed = await context.resumeExistingStream(stream);
  if (!resumed) throw new Error(`resuming gave ${resumed}`);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  for await (const text of resumed) {
    if (!response.write(text)) await once(response, "drain");
  }
  response.end();
}

export async function serve(context) {
  const server = createServer((request, response) => {
    answer(context, request, response).catch((error) => {
      if (response.headersSent) response.destroy(error);
      else response.writeHead(500).end(String(error));
    });
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 });
  await once(server, "listening");
  return server.address().port;
}
