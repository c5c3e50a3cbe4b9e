// What the third parties say they received, and what this page held back; asked while somebody looks.
const table = document.querySelector("[data-received]");
const panel = document.querySelector("[data-backstage]");
const held = new Set();

const showHeld = () => {
  const list = document.querySelector("[data-held]");
  for (const one of document.querySelectorAll("[data-bd-src], [data-bd-href]")) {
    const url = new URL(one.dataset.bdSrc || one.dataset.bdHref, location);
    held.add(url.host === location.host ? url.pathname : url.hostname);
  }
  for (const one of window[Symbol.for("bandeau")]?.held() || []) held.add(one.replace(/^host:/, "").replace(":", " "));
  if (!list || !held.size) return;
  list.replaceChildren(...[...held].sort().map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  }));
};

const barred = (event) => {
  const url = event.blockedURI || event.blockedURL;
  if (url?.includes("://")) held.add(new URL(url).hostname);
};
document.addEventListener("securitypolicyviolation", barred);
if ("ReportingObserver" in window) {
  new ReportingObserver((reports) => { for (const one of reports) barred(one.body); },
    { types: ["csp-violation"], buffered: true }).observe();
}

const show = (parties) => {
  const { none, undecided, unfiltered } = table.dataset;
  const purposes = JSON.parse(table.dataset.purposes);
  const choice = ({ choice: ids }) => ids === null ? "" : { "": undecided, raw: unfiltered }[ids]
    ?? ids.split(" ").map((id) => purposes[id]).join(", ");
  table.tBodies[0].replaceChildren(...parties.map((one) => {
    const row = document.createElement("tr");
    row.dataset.party = one.party;
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = one.name;
    const cells = [one.requests, one.identifiers, one.kept.join(", ") || none, one.refused.join(", ") || none,
      one.first ? new Date(one.first * 1000).toLocaleTimeString(document.documentElement.lang) : "", choice(one)];
    row.append(head, ...cells.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
  table.querySelector("[data-total]").textContent = parties.reduce((sum, one) => sum + one.requests, 0);
};

const look = async () => {
  if ((panel && !panel.open) || document.hidden) return;
  showHeld();
  const answer = await fetch("/coulisses.json");
  if (answer.ok) show(await answer.json());
};
panel?.addEventListener("toggle", () => look().catch(() => {}));
setInterval(() => look().catch(() => {}), 2000);
look().catch(() => {});
