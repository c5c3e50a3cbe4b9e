// The ad server: it knows the visitor and lets somebody else bid each time.
const id = recognise("regie_id", 180);
pixel(id);
load(`${neighbour(`enchere-${newId()}`)}/offre.js${query(id)}`);
