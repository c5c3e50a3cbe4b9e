// The audience tool: one request when the page is shown, one when it is left.
const id = recognise("_metreur", 180);
pixel(id);
addEventListener("pagehide", () => {
  navigator.sendBeacon(`${here.origin}/depart${query(id)}`, String(Math.round(performance.now())));
});
