// What only a choice needs, or an earlier grant.
const band = document.getElementById("bandeau-state"), { dataset } = band;
const headings = () => [...document.querySelectorAll(":is(h1, h2, h3, h4, h5, h6):not([id^=bandeau])")];

/** Show what is granted in the band. */
const show = (now, names) => {
  dataset.granted = now.join(" ");
  band.querySelector("[data-names]").textContent = names;
  for (const line of band.querySelectorAll("[data-line]")) {
    const [yes, no] = line.children;
    no.hidden = now.length > 0 && (line.dataset.line === "cookies" || now.includes("profiles"));
    yes.hidden = !no.hidden;
  }
};

/** Say it to the site's own scripts and to vendors' tags. */
const tell = (answer, button) => window[Symbol.for("bandeau.told")]?.(answer, button?.value);

/** Bar the page after a withdrawal, then have it anew, so that what runs in it ends. Its own message comes back to it. */
let barred;
const bar = (...told) => {
  if (barred) return;
  barred = true;
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:";
  document.head.append(policy);
  window[Symbol.for("bandeau")]?.narrow({});
  tell(...told);
  location.reload();
};

/** Say that it is done; what else is said meanwhile stays. */
const said = band.querySelector(".bandeau-said");
const saved = () => {
  said.textContent = dataset.saved;
  setTimeout(() => said.textContent === dataset.saved && said.replaceChildren(), 4000);
};

/** Offer to reload, where that would take something away from the visitor. */
const offer = () => {
  const button = document.createElement("button");
  button.textContent = dataset.button;
  button.onclick = () => location.reload();
  said.replaceChildren(dataset.reload + " ", button);
};

/** Keep in the history which frame, under which heading, waits in a placeholder. */
const keep = (hold) => {
  const before = (one) => one.compareDocumentPosition(hold) & Node.DOCUMENT_POSITION_FOLLOWING;
  const bandeau = [hold.nextElementSibling?.dataset.bdSrc, headings().filter(before).length - 1];
  history.replaceState({ ...history.state, bandeau }, "");
};

/** Focus what was opened, else the heading above it. */
const focus = ([source, heading]) => {
  const { bandeau, ...rest } = history.state;
  history.replaceState(rest, "");
  const frames = [...document.querySelectorAll("iframe[src]")];
  const one = frames.find((frame) => frame.getAttribute("src") === source) || headings()[heading];
  if (one?.tabIndex < 0) one.tabIndex = -1;
  one?.focus();
};

/** Follow what is granted now, and say so where a button was pressed here for it. */
export const follow = (answer, button, typed) => {
  const now = answer.granted;
  if (!dataset.granted.split(" ").every((id) => !id || now.includes(id))) return bar(answer, button);
  if (!button) return;
  show(now, answer.names);
  tell(answer, button);
  if (!answer.held_back.length) return saved();
  const hold = button.closest(".bandeau-hold");
  if (typed || (scrollY && !hold)) return offer();
  if (hold) keep(hold);
  location.reload();
};

// Another tab chose, or this page came back from the history.
const ask = async () => {
  const answer = await fetch(`${dataset.prefix}/state`, { headers: { Accept: "application/json" } });
  if (answer.ok) follow(await answer.json());
};
const tabs = window.BroadcastChannel && new BroadcastChannel("bandeau");
tabs?.addEventListener("message", (event) => follow(event.data));
addEventListener("pageshow", (event) => event.persisted && ask().catch(() => {}));
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && ask().catch(() => {}));
if (history.state?.bandeau) focus(history.state.bandeau);
