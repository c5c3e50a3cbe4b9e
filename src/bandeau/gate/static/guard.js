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

  // A hint that a script inserts is disarmed as those in the markup were before they came here.
  const HINT = /(?:^|\s)(?:preconnect|dns-prefetch|prefetch|preload|modulepreload|prerender)(?:\s|$)/i;
  const reaches = (url) => {
    const { hostname } = new URL(url, document.baseURI);
    return !hostname || hostname === location.hostname || (permitted.hosts || []).some((p) =>
      p === "*" || (p.startsWith("*.") ? hostname.endsWith(p.slice(1)) : p === hostname));
  };
  const disarm = (link) => attempt(() => {
    if (!HINT.test(link.rel)) return;
    for (const name of ["href", "imagesrcset"]) {
      const value = link.getAttribute(name);
      const urls = value && name === "imagesrcset" ? value.split(",").map((one) => one.trim().split(/\s/)[0]) : [value];
      if (!value || urls.every(reaches)) continue;
      link.removeAttribute(name);
      link.setAttribute("data-bd-" + name, value);
      note("host", attempt(() => new URL(urls[0], document.baseURI).hostname));
    }
  });
  new MutationObserver((records) => {
    for (const { target, addedNodes } of records) {
      if (target.localName === "link") disarm(target);
      for (const node of addedNodes) {
        if (node.localName === "link") disarm(node);
        else if (node.firstElementChild) for (const link of node.getElementsByTagName("link")) disarm(link);
      }
    }
  }).observe(document, { subtree: true, childList: true, attributeFilter: ["rel", "href", "imagesrcset"] });

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
