const { dataset } = document.getElementById("bandeau-state");
const tabs = window.BroadcastChannel && new BroadcastChannel("bandeau");
let busy, next, typed;
addEventListener("input", () => { typed = true; });

const later = async (...values) => (dataset.granted || values[1]) && (await import("./later.js")).follow(...values);

const missed = () => Array.from(document.querySelectorAll("[data-bd-src], [data-bandeau-needs]"), ({ dataset }) => {
  if (dataset.bandeauNeeds) return "needs:" + dataset.bandeauNeeds;
  const url = new URL(dataset.bdSrc, document.baseURI);
  return url.host === location.host ? "page:" + url.pathname : "host:" + url.hostname;
});

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event, notice = form.closest("#bandeau");
  if (!button?.matches("#bandeau :not([value=settings]), [form^=bandeau-add-]")) return;
  event.preventDefault();
  if (busy) return busy === button || (next = button);
  busy = button;
  const body = new URLSearchParams(new FormData(form));
  body.set("choice", button.value);
  body.set("key", crypto.randomUUID?.());
  for (const item of [...missed(), ...(window[Symbol.for("bandeau")]?.held() || [])]) body.append("held", item);
  notice?.remove();
  setTimeout(async () => {
    try {
      const send = () => fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      const answer = await send().catch(send), state = await answer.json();
      if (state.settings) return next = busy = location.assign(state.settings);
      if (!answer.ok) throw answer;
      tabs?.postMessage(state);
      next?.isConnected || await later(state, button, typed).catch(() => location.reload());
    } catch {
      next = 0;
      notice && document.body.prepend(notice);
      button.focus();
      document.querySelector(".bandeau-said").textContent = dataset.failed;
    }
    busy = 0;
    next &&= next.click();
  });
});
const { granted, state } = dataset, now = { granted: granted.split(" "), state };
tabs?.postMessage(now);
later(now);
