"""What the site may do in one state of consent; how a choice comes about is not decided here."""
