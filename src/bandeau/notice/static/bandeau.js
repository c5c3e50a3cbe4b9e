// Forms alone would do; this closes the notice at once and spares a reload.
const band = document.getElementById("bandeau-state");
const guard = window[Symbol.for("bandeau")];
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("bandeau") : null;
const titles = JSON.parse(band.dataset.titles);
let granted = band.dataset.granted.split(" ").filter(Boolean);
let moved = false;
for (const type of ["scroll", "input"]) addEventListener(type, () => { moved = true; }, { once: true, passive: true });

/** Say something, with a button where a reload would show more. */
const say = (key, reload) => {
  const place = band.querySelector("[role=status]");
  place.textContent = band.dataset[key];
  if (!reload) return void setTimeout(() => { if (key === "saved") place.textContent = ""; }, 4000);
  const button = document.createElement("button");
  button.textContent = band.dataset.button;
  button.onclick = () => location.reload();
  place.append(" ", button);
};

/** Show what is granted in the band. */
const show = (now) => {
  granted = now;
  band.dataset.granted = now.join(" ");
  band.querySelector("[data-names]").textContent = now.map((id) => titles[id]).join(", ");
  for (const [line, yes] of [["cookies", now.length > 0], ["profiles", now.includes("profiles")]]) {
    const one = band.querySelector(`[data-line=${line}]`);
    one.querySelector(".bandeau-yes").hidden = !yes;
    one.querySelector(".bandeau-no").hidden = yes;
  }
};

/** A withdrawal: bar the page now, then have it anew, so that what runs in it ends. */
const follow = (now) => {
  if (granted.every((id) => now.includes(id))) return false;
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:";
  document.head.append(policy);
  guard?.narrow({});
  location.reload();
  return true;
};

/** What this page missed. */
const missed = () => [
  ...(guard?.held() || []),
  ...[...document.querySelectorAll("[data-bd-src]")].map((one) => {
    const url = new URL(one.dataset.bdSrc, document.baseURI);
    return url.host === location.host ? "page:" + url.pathname : "host:" + url.hostname;
  }),
  ...[...document.querySelectorAll("[data-bandeau-needs]")].map((one) => "needs:" + one.dataset.bandeauNeeds),
];

let busy = false;
document.addEventListener("submit", (event) => {
  const form = event.target, button = event.submitter;
  const adding = form.id.startsWith("bandeau-add-");
  const notice = form.closest("#bandeau");
  if (!button || button.value === "settings" || !(adding || notice)) return;
  event.preventDefault();
  if (busy) return;
  busy = true;
  const body = new URLSearchParams(new FormData(form));
  body.set("choice", button.value);
  body.set("key", crypto.randomUUID?.());
  for (const item of missed()) body.append("held", item);
  notice?.remove();
  setTimeout(async () => {
    try {
      const send = () => fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      const answer = await send().catch(send);
      if (answer.status === 409) {
        const back = encodeURIComponent(body.get("back")), lang = body.get("lang");
        location.href = `${band.dataset.prefix}/settings?confirm=1&back=${back}&lang=${lang}`;
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      const state = await answer.json();
      tabs?.postMessage(state.granted);
      if (follow(state.granted)) return;
      show(state.granted);
      if (!state.held_back.length) say("saved");
      else if (moved && !adding) say("reload", true);
      else location.reload();
    } catch {
      if (notice) document.body.prepend(notice);
      say("failed");
    }
    busy = false;
  });
});

// Another tab chose, or this page came back from the history.
const ask = async () => {
  const answer = await fetch(`${band.dataset.prefix}/state`, { headers: { Accept: "application/json" } });
  if (answer.ok) follow((await answer.json()).granted);
};
tabs?.addEventListener("message", (event) => follow(event.data));
addEventListener("pageshow", (event) => event.persisted && ask().catch(() => {}));
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && ask().catch(() => {}));
tabs?.postMessage(granted);
