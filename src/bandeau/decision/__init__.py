"""What a visitor chose: states, events, the signed cookie; not what the site may then do (gate)."""
