"""«La Lanterne»: the reference newspaper and its third parties; not needed by anybody's site."""
