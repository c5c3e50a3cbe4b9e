// The player: it keeps where the visitor stopped, on its own side, and tells its server when it plays.
const button = document.querySelector("button");
button.addEventListener("click", () => {
  const playing = document.body.classList.toggle("lecture");
  button.setAttribute("aria-pressed", String(playing));
  if (playing) pixel(recognise("ecran_id", 90));
});
