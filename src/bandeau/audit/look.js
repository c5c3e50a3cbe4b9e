// What a page shows beside its controls. An expression: functions by name, box, focus and state on a control
// with the others of its layer, the rest on the page. Nothing is pressed or changed.
(() => {
  const up = (one) => one.assignedSlot ?? one.parentElement ?? one.getRootNode().host ?? null;
  const inside = (box, one) => { for (let at = one; at; at = up(at)) if (at === box) return true; return false; };
  const plain = (text) => (text ?? "").replace(/\s+/g, " ").trim();
  const role = (one) => one.getAttribute("role") ?? "";
  const placed = (one) => getComputedStyle(one).position;
  const seen = (one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const top = (one) => !one || one === document.body || one === document.documentElement;
  const climb = (from, wanted) => { for (let at = from; !top(at); at = up(at)) if (wanted(at)) return at; return null; };
  const floats = (one) => one.localName === "dialog" || /dialog/.test(role(one)) || ["fixed", "sticky"].includes(placed(one));
  const landmark = (one) => (["section", "aside", "main"].includes(one.localName) || ["region", "main", "complementary"].includes(role(one)))
    && !one.querySelector("article, nav"); // that is the page itself
  // The nearest dialog or floating box around all of them, else the nearest landmark.
  const around = (all) => {
    let box = all.length > 1 ? all[0] : up(all[0]);
    while (box && !all.every((one) => inside(box, one))) box = up(box);
    return climb(box, floats) ?? climb(box, landmark) ?? box ?? document.body;
  };
  const named = (one) => plain(one.getAttribute("aria-label")) || plain((one.getAttribute("aria-labelledby") ?? "").split(/\s+/)
    .map((id) => (id && one.getRootNode().getElementById(id)?.textContent) || "").join(" "));

  const path = (one) => { let found = ""; for (let at = one; at; at = up(at)) found = `${at.localName}:${[...(at.parentNode?.children ?? [])].indexOf(at)}/${found}`; return found; };

  // The colour that a text stands on; null where an image, transparency or opacity leaves it open.
  const ground = (one) => {
    let out = false, found = null;
    for (let at = one; at; at = up(at)) {
      const style = getComputedStyle(at);
      if (Number(style.opacity) < 1) return null;
      if (found) continue;
      const clear = /^rgba\(.*, 0\)$/.test(style.backgroundColor);
      if (style.backgroundImage !== "none" || (!clear && !style.backgroundColor.startsWith("rgb("))) return null;
      if (!clear && out) return null;
      if (!clear) found = style.backgroundColor;
      out ||= ["fixed", "absolute", "sticky"].includes(style.position); // what lies under it is another's
    }
    return found ?? (out ? null : "rgb(255, 255, 255)");
  };
  // The colours of the texts in a box, each once: size in CSS pixels.
  const grounds = (box) => {
    const found = {}, walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
      const one = node.parentElement;
      if (!one || !plain(node.data) || !seen(one) || one.closest("script, style, :disabled, [aria-disabled=true]")) continue;
      if (!((one.getClientRects()[0]?.width ?? 0) > 2)) continue; // for assistive technology only
      const style = getComputedStyle(one);
      const look = { color: style.color, ground: ground(one), size: parseFloat(style.fontSize), bold: style.fontWeight >= 700 };
      found[JSON.stringify(look)] ??= { ...look, text: plain(node.data).slice(0, 60) };
    }
    return Object.values(found).slice(0, 60);
  };

  // Whether something in a box or around it still fades or slides in; what never ends is there already.
  const arrives = (box) => {
    const all = box.getAnimations({ subtree: true });
    for (let at = up(box); at; at = up(at)) all.push(...at.getAnimations());
    return all.some((one) => one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity);
  };

  function box(...others) {
    const box = around([this, ...others]);
    const told = climb(box, (one) => role(one) || ["dialog", "section", "aside"].includes(one.localName))
      ?? [...box.querySelectorAll("[role]")].find((one) => /dialog|region/.test(role(one)));
    const speaks = climb(box, (one) => one.lang) ?? document.documentElement;
    return {
      whole: top(box), text: (box.innerText ?? box.textContent).slice(0, 20000), lang: speaks.lang, page_lang: document.documentElement.lang,
      role: told ? role(told) || told.localName : "", name: told ? named(told) : "",
      heading: !!box.querySelector("h1, h2, h3, h4, h5, h6, [role=heading]"),
      modal: !!climb(box, (one) => one.matches(":modal") || one.ariaModal === "true"),
      live: !!climb(box, (one) => ["alert", "status", "alertdialog"].includes(role(one)) || ["polite", "assertive"].includes(one.ariaLive)),
      links: [...box.querySelectorAll("a[href]")].map((one) => [plain(one.innerText), `${one.href}`]).slice(0, 20),
      labels: [...box.querySelectorAll("button, a, [role=button], input[type=button], input[type=submit]")].map((one) => plain(one.innerText || one.value || one.ariaLabel)).slice(0, 40),
      grounds: grounds(box), arrives: arrives(box),
      endless: box.getAnimations({ subtree: true }).filter((one) => one.playState === "running" && one.effect.getComputedTiming().endTime === Infinity).length,
    };
  }

  // Where the focus is; `covered`: the box of the controls lies over all of what has it.
  function focus(...others) {
    const all = [this, ...others], box = around(all);
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    const control = all.findIndex((one) => one.matches(":focus"));
    if (control >= 0) at = all[control]; // also in a closed shadow root
    const within = control >= 0 || (!top(box) && inside(box, at));
    const place = top(at) ? null : at.getBoundingClientRect();
    const points = [[0.5, 0.5], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]]
      .map(([x, y]) => place && [place.x + place.width * x, place.y + place.height * y])
      .filter((one) => one && one[0] >= 0 && one[1] >= 0 && one[0] < innerWidth && one[1] < innerHeight);
    const covered = !within && !top(box) && points.length > 0 && points.every((one) => inside(box, document.elementFromPoint(...one)));
    const name = String(at?.innerText || at?.ariaLabel || at?.value || "").trim().slice(0, 40);
    return { control, path: path(at), none: top(at), inside: within, covered, what: top(at) ? "nothing" : `${at.localName} «${name}»` };
  }

  // What stands around the way back, in words and in colours; where it stands alone in the page, itself.
  function state() {
    const near = climb(up(this), (one) => ["section", "aside", "footer", "nav", "dialog"].includes(one.localName) || role(one)) ?? up(this);
    const box = top(near) ? this : near;
    const all = [box, ...box.querySelectorAll("*")].filter(seen);
    const words = all.flatMap((one) => [one.ariaLabel, one.getAttribute("alt"), one.getAttribute("title"), one.localName === "title" && one.textContent]);
    const colours = all.map((one) => { const style = getComputedStyle(one); return [style.color, style.backgroundColor, style.fill].join(" "); });
    return { text: plain([box.innerText, ...words.filter(Boolean)].join(" ")).slice(0, 4000), colours: colours.slice(0, 400) };
  }

  // How much the page has to say on what it is about, all that it says, where it is, and since when.
  const text = () => {
    const main = document.querySelector("main, [role=main]") ?? document.body;
    return { length: main?.innerText.length ?? 0, text: (document.body?.innerText ?? "").slice(0, 20000), path: location.pathname, made: performance.timeOrigin };
  };
  const said = () => [...document.querySelectorAll("[role=status], [role=alert], [aria-live=polite], [aria-live=assertive]")]
    .map((one) => one.innerText.trim()).filter(Boolean).join(" ");

  // Copies of the choice that other scripts read: [name, granted, what]; granted null where it cannot be read.
  const copies = async () => {
    const found = [], say = (name, granted, what) => found.push([name, granted, String(what).slice(0, 200)]);
    const within = (work) => Promise.race([work, new Promise((done) => setTimeout(done, 300))]);
    const on = (table) => Object.entries(table ?? {}).filter(([, value]) => value === true).map(([key]) => key);
    if (typeof globalThis.__tcfapi === "function") {
      const data = await within(new Promise((done) => { try { __tcfapi("getTCData", 2, (value, good) => done(good && value)); } catch { done(); } }));
      if (!data) say("TCF", null, "no answer");
      else if (data.gdprApplies !== false) {
        const purposes = on(data.purpose?.consents), interests = on(data.purpose?.legitimateInterests);
        say("TCF", purposes.length > 0, purposes.length ? `purposes ${purposes}` : "no purpose");
        say("TCF legitimate interests", interests.length > 0, interests.length ? `purposes ${interests}` : "none");
      }
    }
    if (typeof globalThis.__gpp === "function") say("GPP", null, "not decoded");
    // Consent Mode, as Google documents it: an update outranks every default, a default for the visitor's region one
    // for all, whichever comes last; of the same rank the last wins. One for regions of elsewhere is none.
    // Function and security need no consent.
    const europe = /^(AT|BE|BG|HR|CY|CZ|DK|EE|FI|FR|DE|GR|HU|IE|IT|LV|LT|LU|MT|NL|PL|PT|RO|SK|SI|ES|SE)\b/;
    const mode = (name, entries) => {
      const now = {};
      for (const [word, step, values] of entries) {
        if (word !== "consent" || !["default", "update"].includes(step) || typeof values !== "object" || !values) continue;
        if (values.region && ![values.region].flat().some((one) => europe.test(one))) continue;
        const rank = step === "update" ? 2 : values.region ? 1 : 0;
        for (const [key, value] of Object.entries(values)) if (/^(ad|analytics)_/.test(key) && rank >= (now[key]?.rank ?? 0)) now[key] = { rank, value };
      }
      for (const [key, { value }] of Object.entries(now)) say(`${name} ${key}`, value === "granted", value);
    };
    const list = (one) => (Array.isArray(one) ? one : []);
    mode("Consent Mode", list(globalThis.dataLayer).map((one) => Array.from(one?.length ? one : [])));
    mode("UET", list(globalThis.uetq).map((_, at, all) => all.slice(at, at + 3)));
    const matomo = list(globalThis._paq).map((one) => one?.[0]).filter((one) => /^(set|remember|forget)(Cookie)?ConsentGiven$/.test(one));
    if (matomo.length) say("Matomo", !matomo.at(-1).startsWith("forget"), matomo.at(-1));
    const band = document.getElementById("bandeau-state");
    if (band) {
      say("state band", ["granted", "partial"].includes(band.dataset.state), band.dataset.state);
      const answer = await fetch(`${band.dataset.prefix}/state`).then((one) => one.json()).catch(() => null);
      say("server", answer && answer.granted.length > 0, answer ? answer.state : "no answer");
    }
    return found;
  };
  return { box, focus, state, text, said, copies };
})()
