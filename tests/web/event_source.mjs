// What a page does with the browser's own EventSource, and nothing more.
// Arguments: the URL; "stay" leaves it open after the last event.
const [url, manner] = process.argv.slice(2);
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const source = new EventSource(url);
// A page stays while nothing happens; Node.js would end.
const page = setInterval(() => {}, 1000);

const told = ({ type, data, lastEventId }) => tell({ type, data, id: lastEventId });
source.onmessage = told;
for (const type of ["done", "stream-error"]) {
  source.addEventListener(type, (event) => {
    told(event);
    if (manner === "stay") return;
    source.close();
    clearInterval(page);
  });
}
source.onopen = () => tell({ type: "open" });
source.onerror = () => {
  const closed = source.readyState === EventSource.CLOSED;
  tell({ type: "error", closed });
  if (closed) clearInterval(page);
};
