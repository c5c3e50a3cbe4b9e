// The tag manager: it does nothing but bring others.
load(`${neighbour("regie")}/annonce.js${query(recognise("etiquettes_id", 180))}`);
