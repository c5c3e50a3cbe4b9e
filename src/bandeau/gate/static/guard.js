(() => {
  "use strict";
  // The names that may be written and read now; the same script serves every state.
  const tag = document.currentScript;
  let permitted = JSON.parse(tag.dataset.bd);
  delete tag.dataset.bd;

  const held = new Set();
  const note = (kind, name) => held.size < 100 && held.add(kind + ":" + String(name).slice(0, 200));
  const may = (kind, name) =>
    (permitted[kind] || []).some((p) =>
      p.endsWith("*") ? String(name).startsWith(p.slice(0, -1)) : p === String(name));
  const passes = (kind, name) => may(kind, name) || (note(kind, name), false);
  const refusal = () => new DOMException("Held back until the visitor agrees.", "NotAllowedError");

  // One API that is missing or different must not leave the others open.
  const attempt = (task) => { try { return task(); } catch { return undefined; } };
  const replace = (owner, name, make) => attempt(() => {
    const own = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { ...own, ...make(own), configurable: false });
  });
  const method = (owner, name, wrap) => owner && name in owner && replace(owner, name, (own) => ({
    value: function (...args) { return wrap.call(this, own.value, args); }, writable: false,
  }));

  // RFC 6265bis 5.6: the name ends at the first "=" before the first ";".
  const cookieName = (line) => {
    const pair = String(line).split(";")[0], at = pair.indexOf("=");
    return at < 0 ? "" : pair.slice(0, at).trim();
  };
  const ends = (line) => {
    const age = /;\s*max-age\s*=\s*(-?\d+)\s*(?:;|$)/i.exec(line);
    const date = /;\s*expires\s*=\s*([^;]*)/i.exec(line);
    return age ? Number(age[1]) <= 0 : Boolean(date) && Date.parse(date[1]) <= Date.now();
  };
  const jar = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  const cookies = () => attempt(() => jar.get.call(document).split("; ").filter(Boolean)) || [];
  replace(Document.prototype, "cookie", (own) => ({
    get() {
      return own.get.call(this).split("; ").filter((c) => may("cookie", cookieName(c))).join("; ");
    },
    set(line) {
      if (ends(String(line)) || passes("cookie", cookieName(line))) own.set.call(this, line);
    },
  }));
  if (window.CookieStore) {
    const proto = CookieStore.prototype;
    method(proto, "set", function (set, args) {
      const name = typeof args[0] === "object" && args[0] ? args[0].name : args[0];
      return passes("cookie", name) ? set.apply(this, args) : Promise.reject(refusal());
    });
    method(proto, "getAll", async function (getAll, args) {
      return (await getAll.apply(this, args)).filter((c) => may("cookie", c.name));
    });
    method(proto, "get", async function (get, args) {
      const found = await get.apply(this, args);
      return found && may("cookie", found.name) ? found : null;
    });
  }

  // Storage: the methods, and the objects themselves, since `localStorage.x = 1` calls no method.
  const areas = {}, real = new WeakMap();
  const kindOf = (area) => (area === areas.session_storage ? "session_storage" : "local_storage");
  for (const [name, kind] of [["localStorage", "local_storage"], ["sessionStorage", "session_storage"]]) {
    areas[kind] = attempt(() => window[name]);
  }
  const setItem = window.Storage && Storage.prototype.setItem;
  const getItem = window.Storage && Storage.prototype.getItem;
  method(window.Storage && Storage.prototype, "setItem", function (set, args) {
    const area = real.get(this) || this;
    if (passes(kindOf(area), args[0])) set.apply(area, args);
  });
  method(window.Storage && Storage.prototype, "getItem", function (get, args) {
    const area = real.get(this) || this;
    return may(kindOf(area), args[0]) ? get.apply(area, args) : null;
  });
  for (const [name, kind] of [["localStorage", "local_storage"], ["sessionStorage", "session_storage"]]) {
    const area = areas[kind];
    if (!area) continue;
    const own = (key) => typeof key === "string" && !(key in Storage.prototype);
    const bound = new Map();
    const front = new Proxy(area, {
      get(_, key) {
        if (own(key)) return may(kind, key) ? getItem.call(area, key) ?? undefined : undefined;
        const value = Reflect.get(area, key, area);
        if (typeof value !== "function" || key === "constructor") return value;
        if (!bound.has(key)) bound.set(key, value.bind(area));
        return bound.get(key);
      },
      set(_, key, value) {
        if (own(key) && passes(kind, key)) setItem.call(area, key, value);
        return true;
      },
      defineProperty(_, key, description) {
        if (own(key) && passes(kind, key)) setItem.call(area, key, description.value);
        return true;
      },
    });
    real.set(front, area);
    replace(window, name, () => ({ get: () => front, set: undefined }));
  }

  // A policy lets connect what it then bars: a frame, a form, a hint. What scripts make of that kind is
  // disarmed before it stands in the page, as what came in the markup was disarmed on the server.
  const HINT = /(?:^|\s)(?:preconnect|dns-prefetch|prefetch|preload|modulepreload|prerender)(?:\s|$)/i;
  const REACHING = {
    iframe: ["src"], frame: ["src"], portal: ["src"], fencedframe: ["src"], embed: ["src"], object: ["data"],
    form: ["action"], button: ["formaction"], input: ["formaction"], a: ["ping"], area: ["ping"],
    link: ["href", "imagesrcset"], base: ["href"],
  };
  const TAGS = [...Object.keys(REACHING), "script", "meta"].join();
  const SUSPECT = /<(?:i?frame|portal|fencedframe|embed|object|form|link|base|meta|script|template)\b|\b(?:ping|formaction)\b/i;
  const { getAttribute: read, setAttribute: write, removeAttribute: remove } = Element.prototype;
  const where = (url) => attempt(() => new URL(url, document.baseURI)) || { protocol: "invalid:", hostname: "?" };
  const reaches = (url) => {
    const { protocol, hostname } = where(url);
    return /^(?:javascript|data|blob|about|mailto|tel|sms):$/.test(protocol) || hostname === location.hostname
      || (permitted.hosts || []).some((p) =>
        p === "*" || (p.startsWith("*.") ? hostname.endsWith(p.slice(1)) : p === hostname));
  };
  const urls = (name, value) => name === "ping" ? value.split(/\s+/).filter(Boolean)
    : name === "imagesrcset" ? value.split(",").map((one) => one.trim().split(/\s/)[0]) : [value];
  const bars = (element, name, value) =>
    (REACHING[element.localName] || []).includes(name)
    && !(element.localName === "link" && !HINT.test(read.call(element, "rel")))
    && !urls(name, String(value)).every(reaches);
  const shelve = (element, name, value) => {
    write.call(element, "data-bd-" + name, value);
    note("host", where(urls(name, String(value))[0]).hostname);
    return true;
  };
  const disarm = (element) => {
    let found = false;
    for (const name of REACHING[element.localName] || []) {
      const value = read.call(element, name);
      if (value === null || !bars(element, name, value)) continue;
      remove.call(element, name);
      found = shelve(element, name, value);
    }
    if (element.localName === "script" && /^\s*speculationrules\s*$/i.test(element.type)) {
      element.type = "text/plain";
      found = true;
    }
    if (element.localName === "meta" && /^\s*refresh\s*$/i.test(element.httpEquiv)) {
      const to = /^\s*[\d.]*\s*[;,\s]\s*(?:url\s*=\s*)?["']?([^"']*)/i.exec(element.content);
      if (to && to[1] && !reaches(to[1])) {
        remove.call(element, "http-equiv");
        found = true;
      }
    }
    const inner = element.localName === "iframe" && read.call(element, "srcdoc");
    const safe = inner ? attempt(() => cleaned(inner)) ?? "" : inner;  // Trusted Types may forbid the look
    if (safe !== inner) {
      write.call(element, "srcdoc", safe);
      found = true;
    }
    return found;
  };
  const scan = (node) => {
    let found = node.nodeType === 1 && disarm(node);
    if (!node.firstElementChild && node.localName !== "template") return found;
    for (const one of node.querySelectorAll(TAGS)) found = disarm(one) || found;
    for (const one of node.querySelectorAll("template")) found = scan(one.content) || found;
    return found || (node.localName === "template" && scan(node.content));
  };
  const cleaned = (html) => {
    if (!SUSPECT.test(html)) return html;
    const inner = new DOMParser().parseFromString(html, "text/html");
    return scan(inner) ? inner.documentElement.outerHTML : html;
  };

  const scanning = (owner, name, from = 0) => method(owner && owner.prototype, name, function (own, args) {
    for (const node of args.slice(from)) attempt(() => node && node.nodeType && scan(node));
    return own.apply(this, args);
  });
  for (const name of ["appendChild", "insertBefore", "replaceChild"]) scanning(Node, name);
  for (const owner of [Element, Document, DocumentFragment]) {
    for (const name of ["append", "prepend", "replaceChildren"]) scanning(owner, name);
  }
  for (const name of ["before", "after", "replaceWith"]) {
    scanning(Element, name);
    scanning(CharacterData, name);
  }
  scanning(Element, "insertAdjacentElement", 1);
  scanning(Range, "insertNode");

  // An attribute that is set where the element already stands.
  const setting = (element, name, value, set) => {
    const lower = String(name).toLowerCase();
    if (lower === "srcdoc" && element.localName === "iframe") return set(attempt(() => cleaned(value)) ?? "");
    if (attempt(() => bars(element, lower, value)) ?? true) return void shelve(element, lower, value);
    if (lower === "rel" && element.localName === "link" && HINT.test(value)) {
      const href = read.call(element, "href");
      if (href !== null && !reaches(href)) {
        remove.call(element, "href");
        shelve(element, "href", href);
      }
    }
    return set(value);
  };
  method(Element.prototype, "setAttribute", function (own, [name, value]) {
    return setting(this, name, value, (left) => own.call(this, name, left));
  });
  method(Element.prototype, "setAttributeNS", function (own, [space, name, value]) {
    return setting(this, name, value, (left) => own.call(this, space, name, left));
  });
  for (const [owner, ...names] of [
    ["HTMLIFrameElement", "src", "srcdoc"], ["HTMLFrameElement", "src"], ["HTMLEmbedElement", "src"],
    ["HTMLObjectElement", "data"], ["HTMLFormElement", "action"], ["HTMLButtonElement", "formAction"],
    ["HTMLInputElement", "formAction"], ["HTMLAnchorElement", "ping"], ["HTMLAreaElement", "ping"],
    ["HTMLLinkElement", "rel", "href", "imageSrcset"], ["HTMLBaseElement", "href"],
  ]) for (const name of names) if (window[owner]) replace(window[owner].prototype, name, (own) => ({
    set(value) { setting(this, name, value, (left) => own.set.call(this, left)); },
  }));

  // Markup as text: parsed beside the page first, and put in as nodes when something had to go.
  const aside = document.implementation.createHTMLDocument("");
  const parsing = (context, value, put, place) => {
    if (!SUSPECT.test(value)) return put(value);
    const copy = context && context.nodeType === 1 ? aside.importNode(context, false) : aside.createElement("div");
    html.set.call(copy, value);
    return scan(copy) ? place([...copy.childNodes]) : put(value);
  };
  const html = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
  for (const owner of [Element, window.ShadowRoot]) if (owner) replace(owner.prototype, "innerHTML", (own) => ({
    set(value) {
      if (this.localName === "template") own.set.call(this, value);  // inert until its content is inserted
      else parsing(this, value, (left) => own.set.call(this, left), (nodes) => this.replaceChildren(...nodes));
    },
  }));
  replace(Element.prototype, "outerHTML", (own) => ({
    set(value) {
      parsing(this.parentNode, value, (left) => own.set.call(this, left), (nodes) => this.replaceWith(...nodes));
    },
  }));
  const PLACES = { beforebegin: "before", afterbegin: "prepend", beforeend: "append", afterend: "after" };
  method(Element.prototype, "insertAdjacentHTML", function (own, [position, value]) {
    const place = PLACES[String(position).toLowerCase()];
    const context = place === "before" || place === "after" ? this.parentNode : this;
    return parsing(context, value, (left) => own.call(this, position, left), (nodes) => this[place](...nodes));
  });
  method(Range.prototype, "createContextualFragment", function (own, args) {
    const made = own.apply(this, args);
    scan(made);
    return made;
  });

  // And what came another way (document.write, a parser's own): at least it does not stay.
  new MutationObserver((records) => {
    for (const { target, type, addedNodes } of records) {
      if (type === "attributes") disarm(target);
      else for (const node of addedNodes) if (node.nodeType === 1) scan(node);
    }
  }).observe(document, {
    subtree: true, childList: true, attributeFilter: ["rel", "href", "imagesrcset", "src", "action", "data", "ping"],
  });

  const factory = (owner, name, kind, refuse) => method(owner, name, function (open, args) {
    return passes(kind, args[0]) ? open.apply(this, args) : refuse();
  });
  const rejects = () => Promise.reject(refusal());
  factory(window.IDBFactory && IDBFactory.prototype, "open", "indexed_db", () => { throw refusal(); });
  factory(window.CacheStorage && CacheStorage.prototype, "open", "cache", rejects);
  factory(window.ServiceWorkerContainer && ServiceWorkerContainer.prototype, "register", "service_worker", rejects);
  method(window.StorageManager && StorageManager.prototype, "getDirectory", () => (note("opfs", "/"), rejects()));
  for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "WebTransport"]) {
    if (name in window) replace(window, name, () => ({
      value: class { constructor() { note("connection", name); throw refusal(); } }, writable: false,
    }));
  }

  // What is there and may not be goes: each parent domain, each path on the way here, both jars.
  const sweep = () => {
    if (self.origin === "null") return;  // a sandbox has nothing of its own to sweep
    const labels = location.hostname.split("."), domains = [""];
    for (let n = 0; n < labels.length - 1; n++) domains.push(";domain=" + labels.slice(n).join("."));
    const paths = ["/"];
    location.pathname.split("/").slice(1, -1).reduce((path, step) => (paths.push(path + step), path + step + "/"), "/");
    for (const name of new Set(cookies().map(cookieName))) {
      if (may("cookie", name)) continue;
      for (const domain of domains) for (const path of paths) for (const more of ["", ";secure", ";secure;partitioned"]) {
        attempt(() => jar.set.call(document, name + "=;max-age=0;path=" + path + domain + more));
      }
    }
    for (const [kind, area] of Object.entries(areas)) attempt(() => {
      for (const key of Object.keys(area)) if (!may(kind, key)) area.removeItem(key);
    });
    attempt(() => indexedDB.databases().then((all) => all.forEach(({ name }) =>
      may("indexed_db", name) || indexedDB.deleteDatabase(name)), () => {}));
    attempt(() => caches.keys().then((all) => all.forEach((name) => may("cache", name) || caches.delete(name)), () => {}));
    attempt(() => navigator.serviceWorker.getRegistrations().then((all) => all.forEach((one) => {
      const script = (one.active || one.waiting || one.installing || {}).scriptURL || "";
      if (!may("service_worker", script.replace(location.origin, ""))) one.unregister();
    }), () => {}));
  };
  sweep();

  document.addEventListener("securitypolicyviolation", (event) => attempt(() => {
    if (event.disposition === "enforce") note("host", new URL(event.blockedURI).hostname);
  }));
  Object.defineProperty(window, Symbol.for("bandeau"), {
    value: Object.freeze({
      held: () => [...held],
      // Never widens: what is permitted afterwards was permitted before.
      narrow(names) {
        for (const kind of Object.keys(permitted)) {
          const left = names[kind] || [];
          permitted[kind] = permitted[kind].filter((name) => left.includes(name));
        }
        sweep();
      },
    }),
  });
})();
