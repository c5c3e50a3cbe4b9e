// The bidder that won: it sends its creative, from a host that nobody has seen before.
const id = recognise("enchere_id", 30);
pixel(id);
const frame = document.createElement("iframe");
frame.src = `${neighbour(`creation-${newId()}`)}/creation${query(id)}`;
frame.title = "Les Allumettes du Phare";
frame.width = 300;
frame.height = 250;
document.body.append(frame);
