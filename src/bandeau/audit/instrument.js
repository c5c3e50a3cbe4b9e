// Runs before any script of a page, frame or worker: says who writes, reads and sends, and changes nothing.
// Functions are wrapped by Proxy on their prototypes, so that they look and behave as before.
((name, gpc) => {
  const send = globalThis[name];
  if (!send) return;
  delete globalThis[name];
  const seen = new Set();
  const text = (value) => { try { return String(value).slice(0, 4096); } catch { return ""; } };
  const say = (kind, data) => {
    const stack = text(new Error().stack).split("\n").slice(1).filter((line) => !line.includes(name)).join("\n");
    const once = kind + JSON.stringify(data) + stack;
    if (seen.has(once)) return; // the same line doing the same thing again is no new evidence
    if (seen.size < 5000) seen.add(once);
    send(JSON.stringify({ kind, stack, url: text(globalThis.location?.href), origin: text(globalThis.origin), ...data }));
  };
  const wrap = (proto, key, kind, describe) => {
    const found = proto && Object.getOwnPropertyDescriptor(proto, key);
    if (typeof found?.value !== "function" || !found.configurable) return;
    const value = new Proxy(found.value, {
      apply(target, self, args) {
        try { const data = describe(self, args); if (data) say(kind, data); } catch { /* the page's own affair */ }
        return Reflect.apply(target, self, args);
      },
    });
    Object.defineProperty(proto, key, { ...found, value });
  };
  const accessor = (proto, key, get, set) => {
    const found = proto && Object.getOwnPropertyDescriptor(proto, key);
    if (!found?.get || !found.configurable) return;
    const watched = (original, tell) => original && new Proxy(original, {
      apply(target, self, args) {
        try { tell(self, args); } catch { /* the page's own affair */ }
        return Reflect.apply(target, self, args);
      },
    });
    Object.defineProperty(proto, key, { ...found, get: watched(found.get, get), set: watched(found.set, set) });
  };

  accessor(globalThis.Document?.prototype, "cookie",
    () => say("cookie_read", { by: "document.cookie" }),
    (_, [value]) => say("cookie_written", { by: "document.cookie", text: text(value) }));
  const named = (args) => (typeof args[0] === "object" && args[0] ? args[0] : { name: args[0], value: args[1] });
  // A service worker gets its cookie store only once its script is there: hooked then, before its own events.
  let hooked = false;
  const hookStore = () => {
    const store = globalThis.CookieStore?.prototype;
    if (hooked || !store) return;
    hooked = true;
    wrap(store, "set", "cookie_written", (_, args) => {
      const { name, domain, path, expires, partitioned } = named(args);
      return { by: "cookieStore", name: text(name), domain: text(domain ?? ""), path: text(path ?? "/"), expires: expires ?? null, partitioned: !!partitioned };
    });
    wrap(store, "delete", "cookie_deleted", (_, args) => ({ by: "cookieStore", name: text(named(args).name) }));
    for (const key of ["get", "getAll"]) wrap(store, key, "cookie_read", () => ({ by: "cookieStore" }));
  };
  hookStore();
  if (globalThis.ServiceWorkerGlobalScope) {
    for (const type of ["install", "activate", "message"]) addEventListener(type, hookStore);
    setTimeout(hookStore);
  }

  const local = (() => { try { return globalThis.localStorage; } catch { return null; } })(); // before a page may wrap it
  const area = (self) => (self === local ? "local_storage" : "session_storage");
  const storage = globalThis.Storage?.prototype;
  wrap(storage, "setItem", "storage_written", (self, args) => ({ area: area(self), name: text(args[0]), size: text(args[1]).length }));
  wrap(storage, "removeItem", "storage_removed", (self, args) => ({ area: area(self), name: text(args[0]) }));
  wrap(storage, "getItem", "storage_read", (self, args) => ({ area: area(self), name: text(args[0]) }));
  wrap(globalThis.IDBFactory?.prototype, "open", "storage_written", (_, args) => ({ area: "indexed_db", name: text(args[0]), size: 0 }));
  wrap(globalThis.CacheStorage?.prototype, "open", "storage_written", (_, args) => ({ area: "cache", name: text(args[0]), size: 0 }));
  wrap(globalThis.ServiceWorkerContainer?.prototype, "register", "storage_written", (_, args) => ({ area: "service_worker", name: text(args[0]), size: 0 }));

  const fingerprint = (proto, keys, api) => { for (const key of keys) wrap(proto, key, "fingerprint", () => ({ api: `${api}.${key}` })); };
  fingerprint(globalThis.HTMLCanvasElement?.prototype, ["toDataURL", "toBlob"], "canvas");
  fingerprint(globalThis.OffscreenCanvas?.prototype, ["convertToBlob"], "canvas");
  fingerprint(globalThis.CanvasRenderingContext2D?.prototype, ["getImageData", "measureText"], "canvas");
  fingerprint(globalThis.WebGLRenderingContext?.prototype, ["getParameter", "readPixels", "getSupportedExtensions"], "webgl");
  fingerprint(globalThis.WebGL2RenderingContext?.prototype, ["getParameter", "readPixels", "getSupportedExtensions"], "webgl");
  fingerprint(globalThis.OfflineAudioContext?.prototype, ["startRendering"], "audio");
  fingerprint(globalThis.Geolocation?.prototype, ["getCurrentPosition", "watchPosition"], "geolocation");
  fingerprint(globalThis.MediaDevices?.prototype, ["enumerateDevices"], "devices");
  for (const type of ["RTCPeerConnection", "WebTransport"]) {
    const original = globalThis[type];
    if (!original) continue;
    globalThis[type] = new Proxy(original, {
      construct(target, args, self) { say("connection", { api: type, to: type === "WebTransport" ? text(URL.parse?.(args[0])?.href ?? args[0]) : "" }); return Reflect.construct(target, args, self); },
    });
  }
  if (gpc && globalThis.Navigator) Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { configurable: true, enumerable: true, get: () => true });
})(NAME, GPC);
//# sourceURL=NAME
